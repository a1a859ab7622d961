/* SPDX-License-Identifier: MIT */
/*
 * sim/scenario/json_line.h - on which line of a JSON text a value stands.
 *
 * The parser keeps no positions of what it accepted. Only when a value turns out to be impossible
 * is its line needed, and then one light pass over the text finds it by its path.
 */
#ifndef GW_SIM_JSON_LINE_H
#define GW_SIM_JSON_LINE_H

#include <stddef.h>

/* Into an object by its key, or into an array (key NULL) by its number. */
struct sim_json_step {
	const char *key;
	size_t number;
};

/*
 * Line, from 1, of the key, or of the array's element, that the path leads to. If the path leaves
 * the text, the line of the last step that did not. The text must be JSON.
 */
unsigned long sim_json_line(const char *text, size_t size, const struct sim_json_step *path,
                            size_t steps);

#endif
