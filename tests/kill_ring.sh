#!/bin/sh
# SPDX-License-Identifier: MIT
# 10,000 killed producers and 10,000 killed consumers, each replaced (tests/kill_ring.c).
exec "${B:-build}/release/tests/kill_ring" 10000
