# The callback does not wait for the page table to be read.
# groups: gpu
# file: pin_gpu.c
/^\twait_for_completion(&gpu->ready);$/d
