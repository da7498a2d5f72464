// SPDX-License-Identifier: Apache-2.0
//
// Where the entry points meet the extent hooks of explicit arenas: hooks run outside of the slow
// path that needs them, so that they may allocate, free and call mallctl as any code of the
// program's. What they allocate comes from the common heap, whatever their thread is bound to. A
// hook that needs memory of its own arena gets a line on stderr, and none.
#ifndef SPANMALLOC_ALLOCATOR_API_ARENA_HOOKS_H_
#define SPANMALLOC_ALLOCATOR_API_ARENA_HOOKS_H_

#include <cstddef>

namespace spanmalloc {

// Calls a hook; see HookRunner.
bool RunArenaHook(unsigned arena, void (*work)(void* argument), void* argument);

// Gives back what an arena with hooks doesn't need any more, if that is due. Called at the end of a
// slow path that isn't nested.
void ServeArenaHooks(unsigned arena);

// Ahead of a fork, with no lock held, and after it in the parent: meanwhile no other thread calls
// hooks, unless one has been in them for too long.
void HoldArenaHooks();
void LetArenaHooks();

// The only thread of a child after fork is in no hook, or will return from it.
void ResetArenaHooksAfterFork();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_ARENA_HOOKS_H_
