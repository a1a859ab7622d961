/* SPDX-License-Identifier: MIT */
#include "live/vm/vm.h"

int gw_vm_fd(struct gw_vm *vm)
{
	return vm->kind->fd(vm);
}

int gw_vm_next(struct gw_vm *vm, struct gw_vm_event *event)
{
	return vm->kind->next(vm, event);
}

int gw_vm_prepare_save(struct gw_vm *vm, struct gw_error *error)
{
	return vm->kind->prepare_save(vm, error);
}

int gw_vm_stop(struct gw_vm *vm, struct gw_error *error)
{
	return vm->kind->stop(vm, error);
}

int gw_vm_save(struct gw_vm *vm, int fd, struct gw_error *error)
{
	return vm->kind->save(vm, fd, error);
}

int gw_vm_load(struct gw_vm *vm, int fd, struct gw_error *error)
{
	return vm->kind->load(vm, fd, error);
}

int gw_vm_cont(struct gw_vm *vm, struct gw_error *error)
{
	return vm->kind->cont(vm, error);
}

int gw_vm_quit(struct gw_vm *vm, struct gw_error *error)
{
	return vm->kind->quit(vm, error);
}

void gw_vm_close(struct gw_vm *vm)
{
	if (vm)
		vm->kind->close(vm);
}
