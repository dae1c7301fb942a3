// SPDX-License-Identifier: MIT
#include "gpudirect/nvrtc.h"

__attribute__((visibility("default"))) int nvrtcVersion(int *major, int *minor);

int nvrtcVersion(int *major, int *minor)
{
	*major = 12;
	*minor = 8;
	return RK_NVRTC_OK;
}
