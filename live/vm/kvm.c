/* SPDX-License-Identifier: MIT */
#include "live/vm/kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"

bool gw_kvm_works(void)
{
	_cleanup_close_ int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = -1;

	if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return false;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	return vm >= 0;
}

bool gw_kvm_hardware(void)
{
#if defined(__x86_64__)
	_cleanup_fclose_ FILE *f = fopen("/proc/cpuinfo", "re");
	_cleanup_free_ char *line = NULL;
	bool found = false;
	size_t room = 0;

	while (f && !found && getline(&line, &room, f) > 0)
		found = strncmp(line, "flags", 5) == 0 &&
		        (strstr(line, " vmx") || strstr(line, " svm"));
	return found;
#else
	return true; /* nobody emulates it there */
#endif
}

const char *gw_accelerator(void)
{
	return gw_kvm_hardware() && gw_kvm_works() ? "kvm" : "tcg,thread=multi";
}
