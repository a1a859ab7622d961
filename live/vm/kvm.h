/* SPDX-License-Identifier: MIT */
/*
 * live/vm/kvm.h - whether VMs run under KVM here.
 *
 * Two questions. A /dev/kvm without hardware behind it (a nested host that pages in software)
 * makes VMs and answers the whole API, but emulates each instruction: a VM made for that moves like
 * any other, a stock kernel does not come to its end of booting.
 */
#ifndef GW_LIVE_VM_KVM_H
#define GW_LIVE_VM_KVM_H

#include <stdbool.h>

/* /dev/kvm opens and makes a VM. */
bool gw_kvm_works(void);

/* The processor virtualises. */
bool gw_kvm_hardware(void);

/* What a VM gets that is told nothing: "kvm" where it works in hardware, else "tcg,thread=multi".
 */
const char *gw_accelerator(void);

#endif
