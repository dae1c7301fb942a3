// SPDX-License-Identifier: MIT
/* The device code with the shipped actors, compiled for the host. */
#include "device.h"
#include "ptx.h"

#include "persistent.cu"

#include "kernels.h"
