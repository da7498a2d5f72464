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
  spanmalloc_region* region = spanmalloc_region_create((size_t)1 << 30, 0);
  if (region == NULL) return 4;
  char* first = spanmalloc_region_allocate(region, 100, 1);
  spanmalloc_region_mark mark = spanmalloc_region_get_mark(region);
  char* second = spanmalloc_region_allocate(region, 100000, 64);
  if (first == NULL || second == NULL || first[99] != 0 || second[99999] != 0) return 5;
  spanmalloc_region_rewind(region, mark);
  if (spanmalloc_region_allocate(region, 1, 1) != first + 100) return 6;
  if (spanmalloc_region_allocate(region, (size_t)2 << 30, 1) != NULL) return 7;
  if (spanmalloc_region_get_sizes(region).used != 101) return 8;
  spanmalloc_region_reset(region);
  spanmalloc_region_trim(region, 0);
  spanmalloc_region_destroy(region);
  spanmalloc_flush_thread_cache();
  spanmalloc_release_free_memory();
  return strlen(spanmalloc_version()) == 0;
}
