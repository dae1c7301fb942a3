# A bell is armed without a look at its count.
# groups: bells
# file: bell.c
s/^\tio->armed = io->count == io->seen;$/\tio->armed = 1;/
