# Anyone with the descriptor may call.
# groups: owner
# file: main.c
s/^\tif (cmd != RK_IOC_VERSION \&\& !is_owner(ctx))$/\tif (!ctx)/
