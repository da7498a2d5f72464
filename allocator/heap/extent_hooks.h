// SPDX-License-Identifier: Apache-2.0
//
// Functions by which a program provides the memory of an explicit arena: the layout, and what the
// functions are asked to do, of jemalloc's extent_hooks_t. The public header declares the same for
// C (api/spanmalloc.h).
//
// HookedMemory calls them, never with a lock of the allocator's held.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_EXTENT_HOOKS_H_
#define SPANMALLOC_ALLOCATOR_HEAP_EXTENT_HOOKS_H_

#include <cstddef>

namespace spanmalloc {

// All but alloc may be nullptr, and return true where they decline.
struct ExtentHooks {
  void* (*alloc)(ExtentHooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                 bool* commit, unsigned arena);
  bool (*dalloc)(ExtentHooks* hooks, void* addr, size_t size, bool committed, unsigned arena);
  void (*destroy)(ExtentHooks* hooks, void* addr, size_t size, bool committed, unsigned arena);
  bool (*commit)(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                 unsigned arena);
  bool (*decommit)(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                   unsigned arena);
  bool (*purge_lazy)(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                     unsigned arena);
  bool (*purge_forced)(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                       unsigned arena);
  bool (*split)(ExtentHooks* hooks, void* addr, size_t size, size_t size_a, size_t size_b,
                bool committed, unsigned arena);
  bool (*merge)(ExtentHooks* hooks, void* addr_a, size_t size_a, void* addr_b, size_t size_b,
                bool committed, unsigned arena);
};

// What a program says of an arena as it is made: jemalloc's arena_config_t.
struct ArenaConfig {
  ExtentHooks* extent_hooks;
  // That the arena is only made if these give memory then. (jemalloc keeps structures of its own in
  // it; here those never lie where a program can take the memory away.)
  unsigned char metadata_use_hooks;  // a bool, if the program wrote one
};

// What an arena has whose memory nobody else provides: its functions map and unmap memory of the
// kernel's, for programs that pass calls on to them. The arena itself borrows from the common heap.
extern const ExtentHooks kDefaultExtentHooks;

// How a hook of arena `arena` is called: work(argument) calls it, with the thread marked as being
// outside of the allocator. False, and nothing called, if the thread is in a hook of that arena
// already.
using HookRunner = bool (*)(unsigned arena, void (*work)(void* argument), void* argument);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_EXTENT_HOOKS_H_
