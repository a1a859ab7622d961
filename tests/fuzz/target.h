/* SPDX-License-Identifier: MIT */
/* tests/fuzz/target.h - what the fuzz targets share; each is a file of its own. */
#ifndef GW_TESTS_FUZZ_TARGET_H
#define GW_TESTS_FUZZ_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The target's own: a line of what the run has seen. False: it did not get through. */
bool target_report(unsigned long inputs);

/* Each input is counted: a run that does not get through proves nothing. Single ones are free to.
 */
void target_count(void);
/* Ends it where that does not hold. */
void require(bool holds, const char *what);
/* A size of memory, as the first byte of an input chooses. */
uint64_t target_pages(uint8_t byte);

#endif
