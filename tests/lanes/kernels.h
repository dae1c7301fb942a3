/* SPDX-License-Identifier: MIT */
/* kernels.h - the kernels of the device code, by name; behind its text. */
LANES_KERNEL(rk_persistent)
LANES_KERNEL(rk_calibrate)
