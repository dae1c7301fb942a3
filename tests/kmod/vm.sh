#!/bin/sh
# vm.sh KERNEL INITRAMFS SHM SECONDS KERNEL-ARGUMENTS...: boot, run, report.
#
# SHM is the file behind the memory BAR.  The guest's output goes to standard output.
# Exit status: 0 all passed, 1 something failed, 123 a module could not be loaded, 124 no end in time,
# 125 the guest died, 126 the VM did not start.
kernel=$1 initramfs=$2 shm=$3 seconds=$4
shift 4

# -M kernel-irqchip=off and TCG: nested virtualisation cannot be counted on where tests run.
timeout -k 5 "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -M q35,kernel-irqchip=off \
	-cpu max -smp 2 -m "${RK_VM_MIB:-512}" \
	-nodefaults -no-user-config -display none -no-reboot -serial stdio -monitor none \
	-device isa-debug-exit,iobase=0xf4,iosize=0x04 \
	-object "memory-backend-file,id=bar,share=on,mem-path=$shm,size=16M" \
	-device ivshmem-plain,memdev=bar \
	-kernel "$kernel" -initrd "$initramfs" \
	-append "console=ttyS0 panic=-1 quiet $*" < /dev/null
status=$?
# The guest ends by writing 0x10 + result to the exit port, which makes QEMU's status odd and large:
# neither a panic (0) nor a VM that did not start (1) looks like it.
case $status in
33) exit 0 ;;
37) exit 123 ;;
0) exit 125 ;;
124 | 137) exit 124 ;;
1) exit 126 ;;
*) exit 1 ;;
esac
