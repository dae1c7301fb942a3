# A fault after revoking maps the page again.
# groups: owner,revoke
# file: map.c
s/^\tret = mem->dead ? VM_FAULT_SIGBUS : insert_around(mem, vmf);$/\tret = insert_around(mem, vmf);/
