/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What spanmalloc offers beyond malloc and free. A program needs this header only to use these
 * functions; malloc, free, new and delete are replaced without it.
 *
 *   C23          free_sized, free_aligned_sized
 *   jemalloc's   mallocx, rallocx, xallocx, sallocx, dallocx, sdallocx, nallocx
 *                mallctl, mallctlnametomib, mallctlbymib, malloc_stats_print,
 *                malloc_message, malloc_conf, malloc_conf_2_conf_harder
 *   spanmalloc's spanmalloc_version, spanmalloc_release_free_memory, spanmalloc_flush_thread_cache;
 *                regions: spanmalloc_region_*
 *
 * All sizes are in bytes. Every function is thread-safe and may be called before main, from a
 * destructor at exit and in the child of a fork; regions have rules of their own. Blocks of all
 * these functions and of malloc, new and the rest are of one heap: any of them may be freed by
 * free, but for what comes from a region, which is never freed by itself.
 *
 * A pointer that isn't a live block of this heap is a fault of the program; docs/trust.md says
 * which faults are found and how they are reported.
 *
 * C and C++, no other header of the project needed.
 */
#ifndef SPANMALLOC_SPANMALLOC_H_
#define SPANMALLOC_SPANMALLOC_H_

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
#define SPANMALLOC_NOEXCEPT noexcept
extern "C" {
#else
#define SPANMALLOC_NOEXCEPT
#endif

/* ---- C23, for C libraries whose <stdlib.h> doesn't declare them yet ---- */

/* Frees `block`, which malloc, calloc or realloc made and which was last asked for with `size`
 * bytes. NULL is allowed. Another size is a fault of the program. C23 7.24.3.4. */
void free_sized(void* block, size_t size) SPANMALLOC_NOEXCEPT;

/* Frees `block`, which aligned_alloc(alignment, size) made. NULL is allowed. Another alignment or
 * size is a fault of the program. C23 7.24.3.5. */
void free_aligned_sized(void* block, size_t alignment, size_t size) SPANMALLOC_NOEXCEPT;

/* ---- spanmalloc's own ---- */

/* The version of the library that is loaded, "major.minor.patch"; a constant string. */
const char* spanmalloc_version(void) SPANMALLOC_NOEXCEPT;

/* Gives free memory back to the kernel: what the calling thread's cache and the CPUs' lists hold,
 * then every free page. Other threads' caches stay as they are. Returns the number of bytes given
 * back that were resident: what RSS fell by. Address space stays mapped. It works under the heap's
 * locks for as long as the kernel takes; call it after a peak of use, not periodically: the library
 * returns memory by itself. */
size_t spanmalloc_release_free_memory(void) SPANMALLOC_NOEXCEPT;

/* Gives the free blocks in the calling thread's cache to the CPUs' lists, where any thread finds
 * them. For a thread that is about to be idle for long. */
void spanmalloc_flush_thread_cache(void) SPANMALLOC_NOEXCEPT;

/* ---- Regions: memory that is handed out from one end and freed all at once ---- */

/* A region reserves address space when it is made, and takes memory for it as it fills.
 * docs/regions.md has more.
 *
 * Threads: a region is used by one thread at a time. One that is SPANMALLOC_REGION_SHARED may be
 * allocated from by several threads at once, but the other functions need it to themselves too.
 * None may be called from a signal handler.
 *
 * Zeros: fresh memory reads as zeros; after a rewind or a reset, the program's old bytes are there.
 *
 * A region that isn't one, or is NULL or destroyed, and a mark that isn't the region's, are faults
 * of the program, reported like a bad pointer; to allocate from NULL is a segmentation fault. */

/* Private: read and changed by the inline function below only. */
typedef struct spanmalloc_region {
  size_t next_;
  size_t limit_;
} spanmalloc_region;

/* A place in a region; its members are private. */
typedef struct spanmalloc_region_mark {
  size_t position_;
  unsigned long long time_;
} spanmalloc_region_mark;

/* In bytes. */
typedef struct spanmalloc_region_sizes {
  size_t used;      /* handed out, what alignment cost included */
  size_t committed; /* of the address space, what may be written by now */
  size_t reserved;  /* the address space */
} spanmalloc_region_sizes;

/* For the flags of spanmalloc_region_create: several threads may allocate at once. */
#define SPANMALLOC_REGION_SHARED 1

/* A region of `reserve` bytes, rounded up to pages, of which no memory is in use yet. NULL, and
 * errno = ENOMEM, if the kernel refuses the address space; EINVAL for flags that there are none of.
 */
spanmalloc_region* spanmalloc_region_create(size_t reserve, int flags) SPANMALLOC_NOEXCEPT;

/* Gives back the memory and the address space of a region; its blocks are gone. */
void spanmalloc_region_destroy(spanmalloc_region* region) SPANMALLOC_NOEXCEPT;

/* What spanmalloc_region_allocate does, as a call. */
void* spanmalloc_region_allocate_slow(spanmalloc_region* region, size_t size,
                                      size_t alignment) SPANMALLOC_NOEXCEPT;

/* `size` bytes aligned to `alignment`, a power of two (1 is allowed), behind what was handed out
 * before; for size 0 one byte. NULL, and errno = ENOMEM, if what is reserved doesn't hold them, or
 * the kernel refuses the memory; EINVAL if `alignment` is no power of two. */
static inline void* spanmalloc_region_allocate(spanmalloc_region* region, size_t size,
                                               size_t alignment) SPANMALLOC_NOEXCEPT {
  const size_t next = region->next_;
  const size_t room = region->limit_ - next;
  const size_t padding = ((size_t)0 - next) & (alignment - 1);
  const size_t bytes = size + (size == 0);
  const int aligns = (alignment & (alignment - 1)) == 0; /* 0 does, to nowhere */
  if (__builtin_expect(!aligns || bytes > room || padding > room - bytes, 0)) {
    return spanmalloc_region_allocate_slow(region, size, alignment);
  }
  /* The statistics may look at it. */
  __atomic_store_n(&region->next_, next + padding + bytes, __ATOMIC_RELAXED);
  return (void*)(next + padding);
}

/* Remembers how far the region is handed out. */
spanmalloc_region_mark spanmalloc_region_get_mark(spanmalloc_region* region) SPANMALLOC_NOEXCEPT;

/* Frees what was handed out since `mark`, with all marks since then. A mark may be rewound to more
 * than once. Memory stays with the region. */
void spanmalloc_region_rewind(spanmalloc_region* region,
                              spanmalloc_region_mark mark) SPANMALLOC_NOEXCEPT;

/* Frees all that was handed out. Memory stays with the region. */
void spanmalloc_region_reset(spanmalloc_region* region) SPANMALLOC_NOEXCEPT;

/* Gives memory back to the kernel, all but what is handed out and the first `keep` bytes. It reads
 * as zeros then. Returns how many bytes of it were resident. */
size_t spanmalloc_region_trim(spanmalloc_region* region, size_t keep) SPANMALLOC_NOEXCEPT;

/* How large the region is. Of a shared one, thread-safe. */
spanmalloc_region_sizes spanmalloc_region_get_sizes(spanmalloc_region* region) SPANMALLOC_NOEXCEPT;

/* ---- jemalloc's extended allocation functions, after jemalloc(3) ---- */

/* The argument `flags` of the functions below is 0 or several of these, or-ed: */

/* Alignment of 1 << la bytes. */
#ifndef MALLOCX_LG_ALIGN
#define MALLOCX_LG_ALIGN(la) ((int)(la))
#endif
/* Alignment of `a` bytes, a power of two. */
#ifndef MALLOCX_ALIGN
#define MALLOCX_ALIGN(a)                                                \
  ((int)(((size_t)(a) < (size_t)1 << 31) ? __builtin_ctz((unsigned)(a)) \
                                         : __builtin_ctz((unsigned)((size_t)(a) >> 31)) + 31))
#endif
/* New bytes are zero: of a new block all, of a resized one those beyond its old usable size. */
#ifndef MALLOCX_ZERO
#define MALLOCX_ZERO ((int)0x40)
#endif
/* The cache of index `tc`, made by mallctl("tcache.create"), in place of the calling thread's own,
 * for blocks of up to 256 KiB. One thread at a time may use a cache. mallocx, rallocx, dallocx and
 * sdallocx use it; an index without a cache means the thread's own, and the first time a line on
 * stderr says so. docs/explicit_caches.md has more. */
#ifndef MALLOCX_TCACHE
#define MALLOCX_TCACHE(tc) ((int)(((tc) + 2) << 8))
#endif
/* No cache: from, and to, the lists that all threads share. */
#ifndef MALLOCX_TCACHE_NONE
#define MALLOCX_TCACHE_NONE MALLOCX_TCACHE(-1)
#endif
/* The explicit arena of index `a`, made by mallctl("arenas.create"); an index without an arena
 * means the heap of all threads. mallocx uses it, and rallocx for a block that it has to move;
 * otherwise blocks stay in their arena. */
#ifndef MALLOCX_ARENA
#define MALLOCX_ARENA(a) ((int)((((unsigned)(a)) + 1) << 20))
#endif

/* A block of at least `size` bytes; NULL, and errno = ENOMEM, if it can't be had. jemalloc leaves
 * size 0 undefined; here it makes a block of the smallest size. */
void* mallocx(size_t size, int flags) SPANMALLOC_NOEXCEPT;

/* Makes `block`, not NULL, hold at least `size` bytes, not 0, at the alignment in `flags`, moving
 * it if need be; the contents stay up to the smaller of the sizes. NULL, errno = ENOMEM, and the
 * block as it was, if that can't be done. */
void* rallocx(void* block, size_t size, int flags) SPANMALLOC_NOEXCEPT;

/* Makes `block`, not NULL, hold at least `size` bytes, not 0, and `extra` more if possible, else at
 * least half of what there is room for, without moving it. Returns its usable size afterwards,
 * which is less than `size` if it couldn't grow. Blocks above 256 KiB, and those that realloc has
 * grown past 16 KiB, can grow and shrink in place; others keep their usable size. A block that
 * isn't aligned as `flags` says is left as it is. */
size_t xallocx(void* block, size_t size, size_t extra, int flags) SPANMALLOC_NOEXCEPT;

/* The usable size of `block`, not NULL: what may be read and written there. `flags` is 0. */
size_t sallocx(const void* block, int flags) SPANMALLOC_NOEXCEPT;

/* Frees `block`, not NULL. */
void dallocx(void* block, int flags) SPANMALLOC_NOEXCEPT;

/* Frees `block`, not NULL, faster, given what is known of it: `size` is anything from the size it
 * was last asked for up to its usable size, and `flags` has the alignment it was asked for with. */
void sdallocx(void* block, size_t size, int flags) SPANMALLOC_NOEXCEPT;

/* The usable size that mallocx(size, flags) would give, without allocating; 0 if no block can be
 * as large or as aligned. */
size_t nallocx(size_t size, int flags) SPANMALLOC_NOEXCEPT;

/* ---- jemalloc's control interface, after jemalloc(3) ---- */

/* In names, in place of an arena's index: all arenas; the arenas destroyed so far. */
#ifndef MALLCTL_ARENAS_ALL
#define MALLCTL_ARENAS_ALL 4096
#endif
#ifndef MALLCTL_ARENAS_DESTROYED
#define MALLCTL_ARENAS_DESTROYED 4097
#endif

/* Functions that give an arena its memory, for mallctl's arenas.create and arena.<i>.extent_hooks;
 * the layout is jemalloc's. docs/arenas.md says when each is called. All but alloc may be NULL, and
 * those that return bool return true where they decline. They may allocate, free and call mallctl,
 * but not use memory of their own arena. A table must stay as long as its arenas. */
#ifndef EXTENT_HOOKS_T_DECLARED /* builds with a prefix declare it, too */
#define EXTENT_HOOKS_T_DECLARED
typedef struct extent_hooks_s extent_hooks_t;

/* `size` bytes, a multiple of 2 MiB, aligned to `alignment`, at least 2 MiB; NULL if there are
 * none. `new_addr` is NULL. *zero is to become whether they read as zeros; *commit stays true,
 * unless they have to be committed before their use. */
typedef void*(extent_alloc_t)(extent_hooks_t* hooks, void* new_addr, size_t size, size_t alignment,
                              bool* zero, bool* commit, unsigned arena);
/* Takes an extent back; true: the arena keeps it. */
typedef bool(extent_dalloc_t)(extent_hooks_t* hooks, void* addr, size_t size, bool committed,
                              unsigned arena);
/* Takes an extent back, of an arena that is destroyed, which dalloc hasn't taken. */
typedef void(extent_destroy_t)(extent_hooks_t* hooks, void* addr, size_t size, bool committed,
                               unsigned arena);
/* Makes bytes [offset, offset + length) of an extent usable, zero. */
typedef bool(extent_commit_t)(extent_hooks_t* hooks, void* addr, size_t size, size_t offset,
                              size_t length, unsigned arena);
/* Takes their memory; they are committed before they are used again. */
typedef bool(extent_decommit_t)(extent_hooks_t* hooks, void* addr, size_t size, size_t offset,
                                size_t length, unsigned arena);
/* Takes their memory, lazily or at once; in the latter case they read as zeros. */
typedef bool(extent_purge_t)(extent_hooks_t* hooks, void* addr, size_t size, size_t offset,
                             size_t length, unsigned arena);
/* Makes two extents of one: of its first `size_a` bytes, and of the rest. */
typedef bool(extent_split_t)(extent_hooks_t* hooks, void* addr, size_t size, size_t size_a,
                             size_t size_b, bool committed, unsigned arena);
/* Makes one extent of two neighbours, the second behind the first. */
typedef bool(extent_merge_t)(extent_hooks_t* hooks, void* addr_a, size_t size_a, void* addr_b,
                             size_t size_b, bool committed, unsigned arena);

struct extent_hooks_s {
  extent_alloc_t* alloc;
  extent_dalloc_t* dalloc;
  extent_destroy_t* destroy;
  extent_commit_t* commit;
  extent_decommit_t* decommit;
  extent_purge_t* purge_lazy;
  extent_purge_t* purge_forced;
  extent_split_t* split;
  extent_merge_t* merge;
};

/* For mallctl's experimental.arenas_create_ext. metadata_use_hooks: the arena is only made if the
 * hooks give memory then. (No structures of the allocator's are put there.) */
typedef struct arena_config_s {
  extent_hooks_t* extent_hooks;
  bool metadata_use_hooks;
} arena_config_t;
#endif /* EXTENT_HOOKS_T_DECLARED */

/* Reads the value called `name` into *oldp (of *oldlenp bytes) and writes *newp (of newlen bytes)
 * to it; NULL for what isn't wanted. Returns 0 or an errno number: ENOENT (no such name), EPERM
 * (not readable, or not writable), EINVAL (a length that isn't the value's), EAGAIN, EFAULT.
 * docs/mallctl.md lists the names. */
int mallctl(const char* name, void* oldp, size_t* oldlenp, void* newp,
            size_t newlen) SPANMALLOC_NOEXCEPT;

/* Translates `name` into at most *miblenp numbers, for mallctlbymib; *miblenp becomes their
 * count. Returns 0 or ENOENT. */
int mallctlnametomib(const char* name, size_t* mibp, size_t* miblenp) SPANMALLOC_NOEXCEPT;

/* As mallctl, for the value that `mib` names; numbers that stand for an index may be changed. */
int mallctlbymib(const size_t* mib, size_t miblen, void* oldp, size_t* oldlenp, void* newp,
                 size_t newlen) SPANMALLOC_NOEXCEPT;

/* Composes the statistics and passes them to write(opaque, text) in NUL-terminated pieces; to
 * malloc_message if `write` is NULL, and to stderr if both are. The letters in `options` leave
 * parts out or choose JSON (J) or OpenMetrics (O); NULL for none. No lock is held while `write`
 * runs, which may allocate, call mallctl or print statistics. docs/statistics.md. */
void malloc_stats_print(void (*write)(void* opaque, const char* text), void* opaque,
                        const char* options);

/* Where messages go that have no callback of their own; NULL: to stderr. */
extern void (*malloc_message)(void* opaque, const char* text);

/* Options of the program, if it defines this symbol: "name:value,name:value". Read once, before
 * the first allocation. docs/options.md lists them. */
extern const char* malloc_conf;

/* The same, but it goes before MALLOC_CONF of the environment. */
extern const char* malloc_conf_2_conf_harder;

#ifdef __cplusplus
}
#endif

#undef SPANMALLOC_NOEXCEPT

#endif /* SPANMALLOC_SPANMALLOC_H_ */
