/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gperftools' C interface to its allocator, as this one answers it: programs that were written for
 * libtcmalloc find what they ask for. docs/gperftools.md has the named numbers and what each call
 * means here. The C++ class MallocExtension isn't offered.
 *
 * Every function is thread-safe and may be called before main and in the child of a fork. From a
 * signal handler that interrupted the allocator, numbers read as 0 and settings aren't made.
 */
#ifndef SPANMALLOC_MALLOC_EXTENSION_C_H_
#define SPANMALLOC_MALLOC_EXTENSION_C_H_

#include <stddef.h>

#ifdef __cplusplus
#define SPANMALLOC_EXTENSION_NOEXCEPT noexcept
extern "C" {
#else
#define SPANMALLOC_EXTENSION_NOEXCEPT
#endif

/* ---- Numbers ---- */

/* Sets *value to the number that `property` names, and returns 1; 0 if there is none of that
 * name. */
int MallocExtension_GetNumericProperty(const char* property,
                                       size_t* value) SPANMALLOC_EXTENSION_NOEXCEPT;

/* Sets the number that `property` names and returns 1; 0 if there is none or it can't be set.
 * Those that can: tcmalloc.max_total_thread_cache_bytes, tcmalloc.aggressive_memory_decommit,
 * tcmalloc.heap_limit_mb. */
int MallocExtension_SetNumericProperty(const char* property,
                                       size_t value) SPANMALLOC_EXTENSION_NOEXCEPT;

/* Writes a summary of the heap in words, as a string of less than `length` bytes. */
void MallocExtension_GetStats(char* buffer, int length) SPANMALLOC_EXTENSION_NOEXCEPT;

#define kMallocExtensionHistogramSize 64

/* Counts the blocks that the program holds, and their bytes, by their sizes in size classes and
 * pages. histogram[n] counts those of 2^(n-1) to 2^n - 1 bytes; all blocks above 256 KiB count by
 * their average size. Returns 1. */
int MallocExtension_MallocMemoryStats(int* blocks, size_t* total,
                                      int histogram[kMallocExtensionHistogramSize])
    SPANMALLOC_EXTENSION_NOEXCEPT;

/* ---- Memory that goes back ---- */

/* Gives about that many bytes of free pages back to the kernel, as far as there are any. */
void MallocExtension_ReleaseToSystem(size_t bytes) SPANMALLOC_EXTENSION_NOEXCEPT;

/* Gives all free memory back: spanmalloc_release_free_memory(). */
void MallocExtension_ReleaseFreeMemory(void) SPANMALLOC_EXTENSION_NOEXCEPT;

/* How fast free memory goes back by itself: it is kept for 2 seconds divided by `rate`; for ever if
 * that is 0 or less, not at all from 1000 on. The same setting as mallctl's dirty_decay_ms. */
void MallocExtension_SetMemoryReleaseRate(double rate) SPANMALLOC_EXTENSION_NOEXCEPT;
double MallocExtension_GetMemoryReleaseRate(void) SPANMALLOC_EXTENSION_NOEXCEPT;

/* ---- Threads ---- */

/* The calling thread will be idle: its cache returns what it holds. Both do the same. */
void MallocExtension_MarkThreadIdle(void) SPANMALLOC_EXTENSION_NOEXCEPT;
void MallocExtension_MarkThreadTemporarilyIdle(void) SPANMALLOC_EXTENSION_NOEXCEPT;

/* It is busy again. Does nothing: the cache fills as the thread allocates. */
void MallocExtension_MarkThreadBusy(void) SPANMALLOC_EXTENSION_NOEXCEPT;

/* Bytes of free blocks in the calling thread's cache. */
size_t MallocExtension_GetThreadCacheSize(void) SPANMALLOC_EXTENSION_NOEXCEPT;

/* ---- Blocks ---- */

/* The usable bytes of the block that malloc(size) would return. */
size_t MallocExtension_GetEstimatedAllocatedSize(size_t size) SPANMALLOC_EXTENSION_NOEXCEPT;

/* The usable bytes of a live block: malloc_usable_size. 0 for NULL. */
size_t MallocExtension_GetAllocatedSize(const void* block) SPANMALLOC_EXTENSION_NOEXCEPT;

typedef enum {
  MallocExtension_kUnknownOwnership = 0,
  MallocExtension_kOwned,
  MallocExtension_kNotOwned
} MallocExtension_Ownership;

/* Whether `pointer` is in a block of this heap: owned or not owned, never unknown. */
MallocExtension_Ownership MallocExtension_GetOwnership(const void* pointer)
    SPANMALLOC_EXTENSION_NOEXCEPT;

/* 1 if `block` is NULL or the start of a block of this heap, else 0. All three do the same: what a
 * block was allocated by isn't recorded. */
int MallocExtension_VerifyNewMemory(const void* block) SPANMALLOC_EXTENSION_NOEXCEPT;
int MallocExtension_VerifyArrayNewMemory(const void* block) SPANMALLOC_EXTENSION_NOEXCEPT;
int MallocExtension_VerifyMallocMemory(const void* block) SPANMALLOC_EXTENSION_NOEXCEPT;

/* 1. Nothing is checked here: a bad pointer is reported when it is freed (docs/trust.md). */
int MallocExtension_VerifyAllMemory(void) SPANMALLOC_EXTENSION_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#undef SPANMALLOC_EXTENSION_NOEXCEPT

#endif /* SPANMALLOC_MALLOC_EXTENSION_C_H_ */
