# The free callback gives the pages back.
# groups: revoke
# file: pin_gpu.c
s/^\tgpu->gone = true;$/\tgpu->put(0, 0, gpu->addr, gpu->table); gpu->gone = true;/
