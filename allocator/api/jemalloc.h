/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs find that include <jemalloc/jemalloc.h>: jemalloc's functions and macros as far as
 * spanmalloc.h has them, malloc's family, and the version whose interface this is. smallocx is
 * there for those that ask for it by SPANMALLOC_SMALLOCX.
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
#define JEMALLOC_VERSION_GID_IDENT spanmalloc

/* mallocx that tells how many bytes of the block may be used, as nallocx would. As in jemalloc, its
 * name ends with JEMALLOC_VERSION_GID_IDENT, and programs declare it; those that define this macro
 * find it declared. */
#ifdef SPANMALLOC_SMALLOCX
#ifdef __cplusplus
extern "C" {
#endif
typedef struct {
  void* ptr;
  size_t size;
} smallocx_return_t;
smallocx_return_t smallocx_spanmalloc(size_t size, int flags);
#ifdef __cplusplus
}
#endif
#endif

#endif /* SPANMALLOC_JEMALLOC_H_ */
