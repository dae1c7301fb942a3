# The end of the range may wrap.
# groups: args
# file: pin_gpu.c
s/^\tif (check_add_overflow(in->addr, in->bytes, &end)) {$/\tif ((end = in->addr + in->bytes) == 1) {/
