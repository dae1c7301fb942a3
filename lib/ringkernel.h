/* SPDX-License-Identifier: MIT */
/*
 * ringkernel.h - all of RingKernel. Five nouns: a msg (rk_msg.h) travels through a ring
 * (ring/rk_ring.h) that lies in a region (gpudirect/rk_region.h), between a port
 * (ports/rk_port.h) and an actor (rk_handler.h); rk_runtime.h joins them.
 */
#ifndef RINGKERNEL_H
#define RINGKERNEL_H

#include "rk_actor.h"
#include "rk_base.h"
#include "rk_checkpoint.h"
#include "rk_dead_letter.h"
#include "rk_error.h"
#include "rk_flow.h"
#include "rk_frame.h"
#include "rk_packet.h"
#include "rk_handler.h"
#include "rk_hist.h"
#include "rk_hlc.h"
#include "rk_io.h"
#include "rk_msg.h"
#include "rk_name.h"
#include "rk_reload.h"
#include "rk_remote.h"
#include "rk_runtime.h"
#include "rk_supervisor.h"
#include "rk_tenant.h"
#include "rk_wake.h"
#include "gpudirect/rk_region.h"
#include "io/rk_io_ring.h"
#include "ports/rk_port.h"
#include "ports/rk_uring.h"
#include "ring/rk_ring.h"
#include "ring/rk_share.h"
#include "snapshot/rk_snapshot.h"

#endif
