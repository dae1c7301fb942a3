# RingKernel: one Makefile, no recursion. `make help` lists the targets.
#
# Everything made goes below $(B). Sources are found by folder: a new .c file in lib/, kernels/,
# tools/, tests/ or bench/ needs no line here.

B       ?= build
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=
PCAP    ?=
FUZZ_SECONDS ?= 20

V ?= 0
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),@printf '  %-8s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

version_part = $(shell sed -n 's/^.define RK_VERSION_$(1) *//p' lib/rk_base.h)
MAJOR   := $(call version_part,MAJOR)
VERSION := $(MAJOR).$(call version_part,MINOR).$(call version_part,PATCH)

# What a job needs is installed before the machine is asked what it has.
job := $(firstword $(filter test bench run,$(patsubst test-%,test,$(MAKECMDGOALS))))
ifneq ($(job),)
ifneq ($(shell B=$(B) sh tools/deps.sh $(job) >&2 && echo ready),ready)
$(error packages are missing: see above)
endif
endif

# Cleaning and help need no probe; everything else does, once.
ifneq ($(filter-out clean help,$(or $(MAKECMDGOALS),all)),)
-include $(B)/config.mk
endif
$(B)/config.mk: tools/probe.sh
	@CC="$(CC)" CXX="$(CXX)" sh tools/probe.sh $(B)
$(B)/config.h: $(B)/config.mk ;

WARN   := -Wall -Wextra -Wshadow -Wmissing-field-initializers
WARN_C := -Wmissing-prototypes -Wstrict-prototypes
OPT    ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -I. -Ilib -Ikernels -Itools -I$(B)
CFLAGS_ALL = -std=gnu11 $(OPT) -pthread -fvisibility=hidden $(WARN) $(WARN_C) $(WERROR) $(CFLAGS)
LIBS = $(URING_LIBS) $(PCAP_LIBS) $(NUMA_LIBS) $(ZLIB_LIBS) $(XXHASH_LIBS) $(ZSTD_LIBS) \
	$(JANSSON_LIBS) -lm -ldl -pthread

lib_src   := $(wildcard lib/*.c lib/*/*.c kernels/*.c)
tool_src  := $(wildcard tools/*.c)
test_src  := $(wildcard tests/test_*.c)
aid_src   := $(filter-out $(test_src) $(wildcard tests/fuzz_*.c),$(wildcard tests/*.c))
fuzz_src  := $(wildcard tests/fuzz_*.c)
bench_src := $(wildcard bench/*.c bench/*.cc)
example_src := $(wildcard examples/*.c)
public_headers := $(filter-out kernels/mdp3_wire.h,$(wildcard lib/ringkernel.h lib/rk_*.h lib/*/rk_*.h \
	kernels/*.h))

# --- Objects, in five builds: release, native (this CPU's instructions, so that rk_ring_send() and
# rk_ring_recv() inline their vectors), thread (race detector), address (with undefined), fuzz ---

BUILDS := release native thread address fuzz
flags_release := -fPIC
flags_native  := -march=native -fPIC
flags_thread  := -O1 -fsanitize=thread -fPIC
flags_address := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all -fPIC
flags_fuzz    := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
cc_release := $(CC)
cc_native  := $(CC)
cc_thread  := $(CC)
cc_address := $(CC)
cc_fuzz    := clang

define build_rules
$(B)/$(1)/%.o: %.c $(B)/config.h
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$(cc_$(1)) $$(CPPFLAGS) $$(CFLAGS_ALL) $(flags_$(1)) -MMD -MP -c $$< -o $$@
$(B)/$(1)/libringkernel.a: $(lib_src:%.c=$(B)/$(1)/%.o)
	@rm -f $$@
	$$(call say,AR,$$@)
	$$(Q)$(AR) rcs $$@ $$^
# All of the tool but its main(), so that tests can reach it.
$(B)/$(1)/libtool.a: $(patsubst %.c,$(B)/$(1)/%.o,$(filter-out tools/ringkernel.c,$(tool_src)))
	@rm -f $$@
	$$(call say,AR,$$@)
	$$(Q)$(AR) rcs $$@ $$^
$(B)/$(1)/tests/%: $(B)/$(1)/tests/%.o $(B)/$(1)/libtool.a $(B)/$(1)/libringkernel.a
	$$(call say,LINK,$$@)
	$$(Q)$(cc_$(1)) $(flags_$(1)) $$(if $$(filter fuzz_%,$$*),-fsanitize=fuzzer) -o $$@ $$^ \
		$$(if $$(filter test_%,$$*),$$(CMOCKA_LIBS)) $$(LIBS) $$(LDFLAGS)
-include $$(shell find $(B)/$(1) -name '*.d' 2>/dev/null)
endef
$(foreach build,$(BUILDS),$(eval $(call build_rules,$(build))))
.SECONDARY:

# --- Device code: machine code where there is nvcc, and its text for NVRTC ---

device_text := $(wildcard kernels/*.cu kernels/*.cuh kernels/*.[ch]) lib/rk_base.h lib/rk_msg.h \
	lib/rk_handler.h lib/rk_hlc.h lib/rk_frame.h lib/rk_packet.h lib/rk_io.h lib/rk_pattern.h \
	lib/ring/rk_slot.h

$(B)/kernels/%.fatbin: kernels/%.cu $(device_text) $(B)/config.mk
	@mkdir -p $(@D)
	$(call say,NVCC,$@)
	$(Q)$(NVCC) -std=c++17 -fatbin --threads 2 -Xfatbin -compress-all $(NVCC_FLAGS) -Ilib -Ikernels $< -o $@
$(BUILDS:%=$(B)/%/lib/backends/cuda_code.o): $(device_text) \
	$(if $(filter 1,$(HAVE_NVCC)),$(B)/kernels/persistent.fatbin)

# --- The library and the tool ---

# The tool lends its symbols to libraries opened at run time, which have none of ours linked in.
WHOLE = -rdynamic -Wl,--whole-archive $(1) -Wl,--no-whole-archive

so := libringkernel.so.$(VERSION)

$(B)/$(so): $(lib_src:%.c=$(B)/release/%.o) lib/ringkernel.map
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-soname,libringkernel.so.$(MAJOR) \
		-Wl,--version-script=lib/ringkernel.map -Wl,-z,defs -o $@ $(filter %.o,$^) \
		$(LIBS) $(LDFLAGS)
	@ln -sf $(so) $(B)/libringkernel.so.$(MAJOR)
	@ln -sf libringkernel.so.$(MAJOR) $(B)/libringkernel.so

$(B)/ringkernel: $(B)/release/tools/ringkernel.o $(B)/release/libtool.a $(B)/release/libringkernel.a
	$(call say,LINK,$@)
	$(Q)$(CC) -o $@ $(filter-out %/libringkernel.a,$^) \
		$(call WHOLE,$(B)/release/libringkernel.a) $(LIBS) $(LDFLAGS)

$(B)/examples/%: examples/%.c $(B)/release/libringkernel.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -o $@ $^ $(LIBS) $(LDFLAGS)

# --- Port dpdk: a library of its own, where there is a DPDK to build it with ---

dpdk_so      := libringkernel-dpdk.so.$(VERSION)
dpdk_src     := $(wildcard lib/ports/dpdk/*.c)
# Of the library's own hidden parts, those that it uses.
dpdk_parts   := $(patsubst %,lib/ports/%.c,none options message frame gather)
dpdk_tests   := $(wildcard tests/dpdk/*.c)
dpdk_headers := lib/ports/dpdk/rk_dpdk.h
dpdk_flags    = -DALLOW_EXPERIMENTAL_API $(patsubst -I%,-isystem%,$(DPDK_FLAGS))
dpdk_bench   := $(B)/ringkernel-bench-dpdk
dpdk_all     := $(B)/$(dpdk_so) $(B)/ringkernel-dpdk.pc $(B)/examples/l2fwd-gpu

define dpdk_rules
$(B)/$(1)/lib/ports/dpdk/%.o $(B)/$(1)/tests/dpdk/%.o $(B)/$(1)/bench/dpdk/%.o: CPPFLAGS += $$(dpdk_flags)
$(B)/$(1)/libringkernel-dpdk.a: $(patsubst %.c,$(B)/$(1)/%.o,$(dpdk_src) $(dpdk_parts))
	@rm -f $$@
	$$(call say,AR,$$@)
	$$(Q)$(AR) rcs $$@ $$^
$(B)/$(1)/tests/dpdk/%: $(B)/$(1)/tests/dpdk/%.o $(B)/$(1)/libringkernel-dpdk.a $(B)/$(1)/libringkernel.a
	$$(call say,LINK,$$@)
	$$(Q)$(cc_$(1)) $(flags_$(1)) -rdynamic -Wl,-u,rk_dpdk_port_kind -o $$@ $$^ $(CMOCKA_LIBS) $(DPDK_LIBS) \
		-lrte_net_ring $$(LIBS) $$(LDFLAGS)
endef
$(foreach build,release address,$(eval $(call dpdk_rules,$(build))))

# It takes our symbols from the program that opens it or links it, so that there is one of each.
$(B)/$(dpdk_so): $(patsubst %.c,$(B)/release/%.o,$(dpdk_src) $(dpdk_parts)) lib/ports/dpdk/dpdk.map
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-soname,libringkernel-dpdk.so.$(MAJOR) \
		-Wl,--version-script=lib/ports/dpdk/dpdk.map -o $@ $(filter %.o,$^) \
		$(DPDK_LIBS) $(LDFLAGS)
	@ln -sf $(dpdk_so) $(B)/libringkernel-dpdk.so.$(MAJOR)
	@ln -sf libringkernel-dpdk.so.$(MAJOR) $(B)/libringkernel-dpdk.so

$(B)/examples/l2fwd-gpu: examples/l2fwd-gpu.c $(B)/release/libringkernel-dpdk.a $(B)/release/libringkernel.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(dpdk_flags) $(CFLAGS_ALL) -o $@ $^ $(DPDK_LIBS) $(LIBS) $(LDFLAGS)

$(B)/release/bench/dpdk/handlers.o: bench/dpdk/handlers.c
$(B)/release/bench/dpdk/flag_list.o: bench/dpdk/flag_list.cu
$(B)/ringkernel-bench-dpdk: \
		$(patsubst %.c,$(B)/release/%.o,$(wildcard bench/dpdk/*.c) bench/gpu/module.c) \
		$(B)/release/libringkernel-dpdk.a $(B)/release/libringkernel.a
	$(call say,LINK,$@)
	$(Q)$(CC) -o $@ $^ $(DPDK_LIBS) $(LIBS) $(LDFLAGS)

ifneq ($(HAVE_DPDK),1)
dpdk_all :=
dpdk_bench :=
dpdk_tests :=
dpdk_headers :=
endif
dpdk_test_programs := $(foreach build,release address,$(dpdk_tests:%.c=$(B)/$(build)/%))

# Always anew: it depends on PREFIX, which no file tells.
.PHONY: always
$(B)/%.pc: lib/%.pc.in always
	$(Q)sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(LIBDIR)|' -e 's|@version@|$(VERSION)|' \
		-e 's|@libs@|$(LIBS)|' $< >$@

examples := $(patsubst %.c,$(B)/%,$(filter-out examples/l2fwd-gpu.c,$(example_src)))

.PHONY: all lib examples
all: $(B)/$(so) $(B)/release/libringkernel.a $(B)/ringkernel $(B)/ringkernel.pc $(examples) $(dpdk_all)
lib: $(B)/$(so) $(B)/release/libringkernel.a
examples: $(examples)

# --- The main job, the tests, the benchmarks ---

.PHONY: run test bench bench-gpu bench-life
run: $(B)/ringkernel
	sh examples/market-data.sh $(B)/ringkernel $(B)/run $(PCAP)

# What only drives a compiler for a minute is run once.
once  := tests/test_cuda_code.c tests/test_gpu_bench_code.c
tests := $(test_src:%.c=$(B)/release/%) \
	$(foreach build,thread address,$(patsubst %.c,$(B)/$(build)/%,$(filter-out $(once),$(test_src)))) \
	$(patsubst %.c,$(B)/native/%,$(wildcard tests/test_ring*.c) tests/test_share.c tests/test_runtime.c)
aids  := $(aid_src:%.c=$(B)/release/%)
fuzzers := $(fuzz_src:%.c=$(B)/fuzz/%)

# Stand-ins for drivers, which tests put where the linker looks; `old` lacks a function.
fakes := $(addprefix $(B)/fake/,libcuda.so.1 libvulkan.so.1 libnvrtc.so.12 old/libcuda.so.1)
$(fakes): $(B)/fake/%: $(wildcard tests/fake/*.[ch]) $(addprefix lib/gpudirect/,cuda.h vulkan.h nvrtc.h)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -fPIC -shared $(if $(findstring old/,$*),-DFAKE_OLD) \
		-o $@ $(filter tests/fake/$(patsubst lib%,%,$(firstword $(subst ., ,$(notdir $*))))%.c,$^)
$(foreach build,release thread address,$(addprefix $(B)/$(build)/tests/,test_gpu_region_fake \
	test_remote_gpu)): | $(fakes)

# A GPU of fibers: CUDA's driver and NVRTC as far as actors need them, and the shipped actors.
lanes := $(if $(filter 1,$(HAVE_FIBERS)),$(addprefix $(B)/lanes/,libcuda.so.1 libnvrtc.so.13 lanes-shipped.so))
lanes_cxx := $(CXX) -std=c++17 -O1 -g1 -fPIC -shared -pthread
# Device code is CUDA's, which warns of other things; its symbols are its own.
lanes_device := $(lanes_cxx) -w -Wl,-Bsymbolic
$(lanes): $(wildcard tests/lanes/*) $(wildcard tests/fake/*.[ch]) lib/gpudirect/cuda.h lib/gpudirect/nvrtc.h
$(B)/lanes/%.o: tests/fake/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) -fPIC -c $< -o $@
$(B)/lanes/libcuda.so.1: $(B)/lanes/cuda.o $(B)/lanes/cuda_stubs.o
	$(call say,LINK,$@)
	$(Q)$(lanes_cxx) -O2 -Wall -Wextra -Wl,-soname,libcuda.so.1 -Ilib -Itests -o $@ $(filter %/block.cc %/cuda.cc %.o,$^) \
		$(FIBERS_LIBS) -ldl
$(B)/lanes/libnvrtc.so.13:
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(lanes_cxx) -Wall -Wextra -Ilib -DLANES_FOLDER='"$(abspath tests/lanes)"' \
		-DLANES_COMPILE='"$(lanes_device)"' -o $@ tests/lanes/nvrtc.cc
$(B)/lanes/lanes-shipped.so: $(device_text)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(lanes_device) -Itests/lanes -Ikernels -Ilib -o $@ tests/lanes/shipped.cc

test: all $(tests) $(aids) $(fuzzers) $(dpdk_test_programs) $(lanes) $(B)/ringkernel-bench-gpu \
		$(B)/ringkernel-bench-life
	B=$(B) FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/run.sh

# The market-data pipeline while its actors are failed, moved, paused and restarted a thousand times.
.PHONY: test-scenarios
test-scenarios: $(B)/release/tests/test_scenarios
	CMOCKA_MESSAGE_OUTPUT=TAP SCENARIO_STEPS=1000 $<

# A hundred million frames through memif and back, twice: whole and as heads; half an hour or more.
.PHONY: soak-dpdk
soak-dpdk: all $(dpdk_test_programs)
	B=$(B) FRAMES=100000000 LIMIT=7200 sh tests/dpdk_peers.sh

.PHONY: test-kmod test-kmod-debug
test-kmod:
	sh tests/kmod/run.sh stock
test-kmod-debug:
	sh tests/kmod/run.sh debug

# Rings across hosts: the tests at length, and the bars against perftest and ucx_perftest.
.PHONY: test-rdma bench-rdma
test-rdma: all $(aids) $(B)/fake/libcuda.so.1
	B=$(B) sh tests/rdma/run.sh long
bench-rdma: all $(aids) $(B)/fake/libcuda.so.1
	B=$(B) sh tests/rdma/run.sh bars
	B=$(B) sh tests/remote_ucx.sh bars

# The module against the headers of a kernel, in a copy so that the tree stays clean.
KDIR ?= /lib/modules/$(shell uname -r)/build
.PHONY: kmod
kmod:
	@mkdir -p $(B)/module
	cp -u kmod/* $(B)/module
	$(MAKE) -C $(KDIR) M=$(abspath $(B)/module) modules

bench_objects := $(patsubst %,$(B)/%.o,$(bench_src))
BENCH_FLAGS = -O3 -march=native -DNDEBUG
# What a program gets that is compiled as most are.
$(B)/bench/plain.c.o: BENCH_FLAGS = -O2 -march=x86-64 -DNDEBUG
$(B)/bench/%.c.o: bench/%.c $(B)/config.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(DPDK_FLAGS) $(BENCH_FLAGS) -MMD -MP -c $< -o $@
$(B)/bench/%.cc.o: bench/%.cc $(B)/config.h
	@mkdir -p $(@D)
	$(call say,CXX,$@)
	$(Q)$(CXX) $(CPPFLAGS) -std=gnu++17 $(BENCH_FLAGS) $(WARN) $(WERROR) -pthread -MMD -MP -c $< -o $@
-include $(shell find $(B)/bench -name '*.d' 2>/dev/null)
$(B)/ringkernel-bench: $(bench_objects) $(B)/release/libringkernel.a
	$(call say,LINK,$@)
	$(Q)$(CXX) -o $@ $^ $(CK_LIBS) $(DPDK_LIBS) $(LIBS) $(LDFLAGS)

bench: $(B)/ringkernel-bench
	$(B)/ringkernel-bench

# Actors on a GPU: a program of its own, for it needs none of the peers' libraries.
bench_gpu_src := $(wildcard bench/gpu/*.c)
$(B)/release/bench/gpu/handlers.o: bench/gpu/handlers.c
$(B)/release/bench/gpu/baseline.o: bench/gpu/baseline.cu
$(B)/release/bench/gpu/module.o: bench/gpu/flag.cuh
$(B)/ringkernel-bench-gpu: $(bench_gpu_src:%.c=$(B)/release/%.o) \
		$(B)/release/bench/own_reads.o $(B)/release/libringkernel.a
	$(call say,LINK,$@)
	$(Q)$(CC) -o $@ $^ $(LIBS) $(LDFLAGS)

bench-gpu: $(B)/ringkernel-bench-gpu
	$(B)/ringkernel-bench-gpu

# The life of actors on a CPU.
$(B)/ringkernel-bench-life: $(patsubst %.c,$(B)/release/%.o,$(wildcard bench/life/*.c)) \
		$(B)/release/libringkernel.a
	$(call say,LINK,$@)
	$(Q)$(CC) -o $@ $^ $(LIBS) $(LDFLAGS)

bench-life: $(B)/ringkernel-bench-life
	$(B)/ringkernel-bench-life

.PHONY: bench-dpdk
bench-dpdk: $(dpdk_bench)
	$(or $(dpdk_bench),$(error no libdpdk: apt-get install libdpdk-dev dpdk))

# --- Installing ---

.PHONY: install uninstall
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig \
		$(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(B)/ringkernel $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(B)/$(so) $(DESTDIR)$(LIBDIR)
	install -m 644 $(B)/release/libringkernel.a $(DESTDIR)$(LIBDIR)
	ln -sf $(so) $(DESTDIR)$(LIBDIR)/libringkernel.so.$(MAJOR)
	ln -sf libringkernel.so.$(MAJOR) $(DESTDIR)$(LIBDIR)/libringkernel.so
	install -m 644 $(B)/ringkernel.pc $(DESTDIR)$(LIBDIR)/pkgconfig
ifneq ($(dpdk_all),)
	install -m 755 $(B)/$(dpdk_so) $(DESTDIR)$(LIBDIR)
	ln -sf $(dpdk_so) $(DESTDIR)$(LIBDIR)/libringkernel-dpdk.so.$(MAJOR)
	ln -sf libringkernel-dpdk.so.$(MAJOR) $(DESTDIR)$(LIBDIR)/libringkernel-dpdk.so
	install -m 644 $(B)/ringkernel-dpdk.pc $(DESTDIR)$(LIBDIR)/pkgconfig
endif
	install -m 644 $(wildcard tools/*.1) $(DESTDIR)$(PREFIX)/share/man/man1
	for header in $(public_headers) $(dpdk_headers); do \
		install -D -m 644 $$header \
			$(DESTDIR)$(PREFIX)/include/ringkernel/$${header#lib/} || exit 1; \
	done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/ringkernel $(DESTDIR)$(LIBDIR)/libringkernel.* \
		$(DESTDIR)$(LIBDIR)/libringkernel-dpdk.* $(DESTDIR)$(LIBDIR)/pkgconfig/ringkernel.pc \
		$(DESTDIR)$(LIBDIR)/pkgconfig/ringkernel-dpdk.pc \
		$(patsubst tools/%,$(DESTDIR)$(PREFIX)/share/man/man1/%,$(wildcard tools/*.1))
	rm -rf $(DESTDIR)$(PREFIX)/include/ringkernel

.PHONY: clean help
clean:
	rm -rf $(B)

help:
	@echo 'make              library, tool and examples, in $(B)/'
	@echo 'make run          the main job: a generated feed through rings and an actor'
	@echo 'make run PCAP=f   the same with a capture'
	@echo 'make test         every test; ends with "N passed, N failed, N skipped"'
	@echo 'make test-kmod    the kernel module in a virtual machine (part of make test)'
	@echo 'make test-rdma    rings across hosts, a million messages a case (shorter in make test)'
	@echo 'make bench-rdma   rings across hosts against perftest and ucx_perftest'
	@echo 'make bench        the ring against its peers'
	@echo 'make bench-dpdk   port dpdk against testpmd'
	@echo 'make soak-dpdk    10^8 frames through l2fwd-gpu over memif'
	@echo 'make bench-gpu    actors on a GPU against launches, queues and the bus'
	@echo 'make test-scenarios the pipeline, its actors disturbed a thousand times (shorter in make test)'
	@echo 'make bench-life   actors on a CPU: spawn, restart, stop, failure to restart, reload'
	@echo 'make kmod         the kernel module in $(B)/module; KDIR=$(KDIR)'
	@echo 'make install      PREFIX=$(PREFIX) LIBDIR=$(LIBDIR) DESTDIR='
	@echo 'make clean        remove $(B)/'
	@echo 'V=1 shows the commands; B=dir builds elsewhere; WERROR=-Werror is strict'
