// SPDX-License-Identifier: MIT
/* Port dpdk: its library, libringkernel-dpdk.so, is opened when the kind is first asked for. */
#include "config.h"
#include "ports/port.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_OF(x) #x
#define TEXT(x)	   TEXT_OF(x)
#define LIBRARY	   "libringkernel-dpdk.so." TEXT(RK_VERSION_MAJOR)

#define OPTIONS                                                                                   \
	"queues=N           of the device, each way (default 1): RSS, or by flow or hash in software\n" \
	"queue=K            in: this one alone (default: all); out: this one (default 0)\n"          \
	"feeds=A:P+A:P...   in: UDP datagrams to these addresses, as feed 0, 1...; others are foreign\n" \
	"                   out: where the datagrams of feed 0, 1... go\n"                          \
	"frames             in: whole Ethernet frames (RK_FRAME), long ones by reference\n"          \
	"copy               in: with frames: lend no buffer, copy long frames whole\n"               \
	"inline=BYTES       in: with frames: of each frame in the message (default 120)\n"           \
	"split=BYTES        in: with frames: let the NIC part headers from data behind BYTES\n"      \
	"steer=WAY          in: to queues: hw (the NIC), soft, or auto (default)\n"                  \
	"verify             in: check UDP checksums too, where the NIC does not\n"                   \
	"hwtime             in: take receive times from the NIC's or the capture's stamps\n"         \
	"unicast            in: not promiscuous, no foreign multicast\n"                            \
	"idle=MS            in: end when a message came and then none for MS\n"                     \
	"count=N            in: end after N messages\n"                                             \
	"mtu=BYTES          largest payload of a frame (default: the device's)\n"                   \
	"mbufs=N            of the device's pool (default 8191)\n"                                  \
	"descriptors=N      of each queue (default 1024)\n"                                         \
	"eal=WORDS          EAL arguments, of the first dpdk port of a program"

static struct port_kind kind = {
	.about = {"dpdk", "in: receives by a DPDK driver; out: transmits", OPTIONS, NULL},
};

#if RK_HAVE_DPDK

static char absent[PATH_MAX + 256];

/* Takes the operations that @library has, an open one or RTLD_DEFAULT; false if it has none. */
static bool take(void *library, const char *path)
{
	port_dpdk_fn *find = (port_dpdk_fn *)dlsym(library, PORT_DPDK_SYMBOL);
	const struct port_kind *found = find ? find(rk_version()) : NULL;

	if (!find)
		return false;
	if (found) {
		kind.in = found->in;
		kind.out = found->out;
	} else {
		snprintf(absent, sizeof(absent), "%s is not of version %s: install both together",
			 path, rk_version());
		kind.about.absent = absent;
	}
	return true;
}

/* Beside this library or program, where an installed program has its libraries, or anywhere. */
static void find_library(void)
{
	static const char *const places[] = {"%s" LIBRARY, "%s../lib/" LIBRARY, LIBRARY "%.0s"};
	char directory[PATH_MAX] = "", path[PATH_MAX + 64];
	const char *text = "";
	void *library;
	Dl_info self;

	if (take(RTLD_DEFAULT, LIBRARY)) /* the program is linked with it */
		return;
	if (!dladdr((void *)(uintptr_t)&rk_version, &self) || !self.dli_fname)
		self.dli_fname = "";
	snprintf(directory, sizeof(directory), "%s", self.dli_fname);
	/* A program found by PATH has no directory in its name. */
	if (!strchr(directory, '/') && readlink("/proc/self/exe", directory, PATH_MAX - 1) < 0)
		*directory = 0;
	*(strrchr(directory, '/') ? strrchr(directory, '/') + 1 : directory) = 0;
	/* So that it finds our symbols where we were opened for one user alone. */
	dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
	dlerror();
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), places[i], directory);
		library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
		if (library && take(library, path))
			return;
		text = dlerror();
		if (strstr(text, "undefined symbol: rk_"))
			break;
	}
	snprintf(absent, sizeof(absent), "%s: %s", text,
		 strstr(text, "undefined symbol: rk_")
			 ? "link this program with libringkernel.so, or with -rdynamic and the "
			   "whole of libringkernel.a"
			 : "build and install it where pkg-config finds libdpdk (libdpdk-dev)");
	kind.about.absent = absent;
}

static const struct port_kind *load(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_library);
	return &kind;
}

#else

static const struct port_kind *load(void)
{
	kind.about.absent = "built without libdpdk: apt-get install libdpdk-dev and build again";
	return &kind;
}

#endif

const struct port_kind port_dpdk = {.about = {.name = "dpdk"}, .load = load};
