/* SPDX-License-Identifier: Apache-2.0 */
/* <spanmalloc/spanmalloc.h> is C, and what it declares can be linked. Fails by its exit status. */
#include <spanmalloc/spanmalloc.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
  char* block = mallocx(100, MALLOCX_ZERO | MALLOCX_ALIGN(64));
  if (block == NULL || sallocx(block, 0) != nallocx(100, MALLOCX_ALIGN(64))) return 1;
  if (xallocx(block, 100, 1000, 0) < 100) return 2;
  strcpy(block, "kept");
  block = rallocx(block, 100000, 0);
  if (block == NULL || strcmp(block, "kept") != 0) return 3;
  sdallocx(block, 100000, 0);
  dallocx(mallocx(1, MALLOCX_TCACHE_NONE | MALLOCX_ARENA(0)), 0);
  free_sized(malloc(10), 10);
  free_aligned_sized(aligned_alloc(64, 128), 64, 128);
  spanmalloc_flush_thread_cache();
  spanmalloc_release_free_memory();
  return strlen(spanmalloc_version()) == 0;
}
