#!/bin/sh
# SPDX-License-Identifier: MIT
# Allocations and system calls on the path of messages (tests/ring_no_syscall.c).
exec "${B:-build}/release/tests/ring_no_syscall"
