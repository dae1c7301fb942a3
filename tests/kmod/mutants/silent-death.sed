# The other end is not told.
# groups: live
# file: live.c
/^static void detach_end/,/^}/s/^\ttell(.*$/\t;/
