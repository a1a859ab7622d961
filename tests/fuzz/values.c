/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/values.h"
#include "tests/fuzz/target.h"

/* Whatever the text: an answer with a sentence, or a value that may be used. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const parsers[])(const char *, uint64_t *, const char **) = {
	        gw_parse_rate, gw_parse_size, gw_parse_duration, gw_parse_number};
	char *text = strndup((const char *)data, size);
	size_t i;

	for (i = 0; text && i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		const char *problem = NULL;
		uint64_t value = 0;
		int r = parsers[i](text, &value, &problem);

		if (r > 0 || (r < 0 && (!problem || value)))
			abort();
	}
	free(text);
	return 0;
}
