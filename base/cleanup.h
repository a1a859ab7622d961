/* SPDX-License-Identifier: MIT */
/*
 * base/cleanup.h - attributes that release a local when it goes out of scope.
 *
 *     _cleanup_close_ int fd = -1;
 *     _cleanup_free_ char *text = NULL;
 */
#ifndef GW_BASE_CLEANUP_H
#define GW_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void gw_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void gw_cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void gw_cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_close_	 __attribute__((cleanup(gw_cleanup_close)))
#define _cleanup_free_	 __attribute__((cleanup(gw_cleanup_free)))
#define _cleanup_fclose_ __attribute__((cleanup(gw_cleanup_fclose)))

#endif
