# The driver is called under the lock that its callback takes.
# groups: revoke,hammer
# file: pin_gpu.c
s/^\t\t\terr = gpu->put(0, 0, gpu->addr, gpu->table);$/\t\t\t{ down_read(\&mem->lock); err = gpu->put(0, 0, gpu->addr, gpu->table); up_read(\&mem->lock); }/
