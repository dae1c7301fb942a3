# Write-combining is asked for, not reserved.
# groups: gpu
# file: map.c
s/^\t\textent->wc = !arch_io_reserve_memtype_wc(extent->phys, extent->bytes);$/\t\textent->wc = true;/
/^\t\t\tarch_io_free_memtype_wc/s/arch_io_free_memtype_wc(mem->extents\[i\].phys, mem->extents\[i\].bytes)/mem->nr_wc--/
