/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gperftools' hooks, in C: functions of the program's that are called with every allocation and
 * every free. docs/gperftools.md says what that means here. Those of mmap, munmap, mremap and sbrk
 * aren't offered: their functions do nothing and return 0.
 *
 * Up to seven hooks of a kind can be added. A hook may allocate; it is then called for that, too,
 * and has to see to it that this ends. From the first hook on every thread's calls take longer,
 * also when all are removed again; docs/gperftools.md says how much.
 *
 * Every function is thread-safe. A hook may be called a last time while it is being removed.
 */
#ifndef SPANMALLOC_MALLOC_HOOK_C_H_
#define SPANMALLOC_MALLOC_HOOK_C_H_

#include <stddef.h>

#ifdef __cplusplus
#define SPANMALLOC_HOOK_NOEXCEPT noexcept
extern "C" {
#else
#define SPANMALLOC_HOOK_NOEXCEPT
#endif

/* Called after an allocation, with the size that was asked for. */
typedef void (*MallocHook_NewHook)(const void* block, size_t size);
/* Called before a free. realloc calls both: for the old block, and for the new one, be it the same
 * or not. */
typedef void (*MallocHook_DeleteHook)(const void* block);

/* 1; 0 if there are seven already, or for NULL. */
int MallocHook_AddNewHook(MallocHook_NewHook hook) SPANMALLOC_HOOK_NOEXCEPT;
int MallocHook_AddDeleteHook(MallocHook_DeleteHook hook) SPANMALLOC_HOOK_NOEXCEPT;

/* 1; 0 if it wasn't added. */
int MallocHook_RemoveNewHook(MallocHook_NewHook hook) SPANMALLOC_HOOK_NOEXCEPT;
int MallocHook_RemoveDeleteHook(MallocHook_DeleteHook hook) SPANMALLOC_HOOK_NOEXCEPT;

/* One hook beside those, NULL for none; returns the one that was set before. */
MallocHook_NewHook MallocHook_SetNewHook(MallocHook_NewHook hook) SPANMALLOC_HOOK_NOEXCEPT;
MallocHook_DeleteHook MallocHook_SetDeleteHook(MallocHook_DeleteHook hook) SPANMALLOC_HOOK_NOEXCEPT;

/* The calls that led to a hook's, if the allocator could tell: it can't, and returns 0.
 * backtrace(3) can, which allocates when it is first called. */
int MallocHook_GetCallerStackTrace(void** result, int max_depth,
                                   int skip_count) SPANMALLOC_HOOK_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* SPANMALLOC_MALLOC_HOOK_C_H_ */
