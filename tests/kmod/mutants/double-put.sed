# GPU pages are given back twice.
# groups: gpu,revoke
# file: pin_gpu.c
s/^\t\t\terr = gpu->put(0, 0, gpu->addr, gpu->table);$/\t\t\terr = gpu->put(0, 0, gpu->addr, gpu->table) | gpu->put(0, 0, gpu->addr, gpu->table);/
