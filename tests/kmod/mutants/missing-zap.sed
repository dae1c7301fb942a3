# Revoking leaves the mappings in place.
# groups: owner,revoke
# file: map.c
s/^\tif (mem->handle)$/\tif (!mem)/
