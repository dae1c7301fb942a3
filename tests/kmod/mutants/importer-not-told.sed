# Importers of a dma-buf are not told of the end.
# groups: dmabuf
# file: map.c
/^\trk_exports_invalidate(mem);$/d
