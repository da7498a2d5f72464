/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs find that include <jemalloc/jemalloc.h>: jemalloc's functions and macros as far as
 * spanmalloc.h has them, malloc's family, and the version whose interface this is. Experimental
 * functions (smallocx) aren't there.
 */
#ifndef SPANMALLOC_JEMALLOC_H_
#define SPANMALLOC_JEMALLOC_H_

#include <malloc.h>
#include <spanmalloc/spanmalloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* What mallctl("version") says begins with JEMALLOC_VERSION. */
#define JEMALLOC_VERSION "5.3.0-spanmalloc"
#define JEMALLOC_VERSION_MAJOR 5
#define JEMALLOC_VERSION_MINOR 3
#define JEMALLOC_VERSION_BUGFIX 0
#define JEMALLOC_VERSION_NREV 0
#define JEMALLOC_VERSION_GID "spanmalloc"

#endif /* SPANMALLOC_JEMALLOC_H_ */
