# Host pages stay pinned for ever.
# groups: host
# file: pin_host.c
/^\tunpin_user_pages_dirty_lock(/d
