/* SPDX-License-Identifier: MIT */
/* Where the bare guest begins: CPU 0 by multiboot, the others in real mode at AP_START. */
#define AP_START 0x8000 /* guest.c sends them there */
#define STACK    16384

	.section .multiboot, "a"
	.align	4
	.long	0x1BADB002, 2, -(0x1BADB002 + 2)

	.text
	.code32
	.globl	_start
_start:
	cli
	lgdt	gdt_pointer
	ljmp	$8, $1f
1:	call	load_segments
	movl	$stacks + STACK, %esp
	pushl	%ebx
	call	boot
	jmp	.

load_segments:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	ret

/* Copied to AP_START, so nothing in it may know where it is. */
	.code16
	.globl	ap_start, ap_start_end
ap_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	AP_START + (ap_gdt_pointer - ap_start)
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$8, $ap_protected
ap_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_start_end:

	.code32
ap_protected:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movl	%eax, %ss
	movl	$1, %ebx
	lock xaddl %ebx, cpus_started
	movl	%ebx, %eax
	incl	%eax
	imull	$STACK, %eax
	leal	stacks(%eax), %esp
	pushl	%ebx
	call	run
	jmp	.

/*
 * Interrupts come only while they are open, so they are open again afterwards. Not by `iret`: the
 * instruction emulator of KVM, where there is no hardware behind it, knows that for real mode only.
 */
	.macro	interrupt name, handler
	.globl	\name
\name:
	pushl	%eax
	pushl	%ecx
	pushl	%edx
	cld
	call	\handler
	popl	%edx
	popl	%ecx
	popl	%eax
	andl	$~0x200, 8(%esp)
	pushl	8(%esp)
	popfl
	sti
	lret	$4
	.endm

	interrupt tick_entry, on_tick
	interrupt pit_entry, on_pit
	interrupt nothing_entry, on_nothing

	.globl	exception_entry
exception_entry:
	call	on_exception

	.section .rodata
	.align	8
gdt:	.quad	0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.data
	.align	4
	.globl	cpus_started
cpus_started:
	.long	1

	.bss
	.align	16
stacks:	.space	4 * STACK

	.section .note.GNU-stack, "", @progbits
