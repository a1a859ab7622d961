/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INPUTS_MIN 1000

static unsigned long inputs;

void target_count(void)
{
	inputs++;
}

void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

uint64_t target_pages(uint8_t byte)
{
	static const uint64_t sizes[] = {0, 1, 64, 131072, UINT64_C(1) << 40, UINT64_MAX};

	return sizes[(byte & 0x7f) % (sizeof sizes / sizeof *sizes)];
}

static void report(void)
{
	if (target_report(inputs) || inputs < INPUTS_MIN)
		return;
	fprintf(stderr, "it did not get through\n");
	_exit(1);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return atexit(report);
}
