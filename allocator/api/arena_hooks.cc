// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/arena_hooks.h"

#include <errno.h>

#include <atomic>

#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/os/raw_output.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc {
namespace {

// A thread that is in a hook. Of those that find no place nothing is known.
struct Caller {
  std::atomic<const ThreadLocals*> thread;
  std::atomic<unsigned> arena;  // written and read by that thread
};
constinit Caller callers[64] = {};

bool IsOwn(const Caller& caller) {
  return caller.thread.load(std::memory_order_relaxed) == &thread_locals;
}

bool IsInHook(unsigned arena) {
  for (const Caller& caller : callers) {
    if (IsOwn(caller) && caller.arena.load(std::memory_order_relaxed) == arena) {
      return true;
    }
  }
  return false;
}

Caller* NoteCaller(unsigned arena) {
  for (Caller& caller : callers) {
    const ThreadLocals* nobody = nullptr;
    if (caller.thread.compare_exchange_strong(nobody, &thread_locals, std::memory_order_relaxed)) {
      caller.arena.store(arena, std::memory_order_relaxed);
      return &caller;
    }
  }
  return nullptr;
}

void TellReentry(unsigned arena) {
  char storage[160];
  TextBuffer line(storage, sizeof(storage));
  line << "spanmalloc: extent hooks of arena " << uint64_t{arena}
       << ": a hook asks for memory, or a purge, of its own arena; that is refused\n";
  os::WriteToStderr(line.text());
}

// The calling thread allocates from another arena from now on; the caller counts it.
void Redirect(unsigned arena) {
  thread_locals.arena = static_cast<uint16_t>(arena);
  runtime.HideOrShowCache();
}

void RunOutside(void (*work)(void*), void* argument) {
  const unsigned bound = thread_locals.arena;
  Redirect(0);
  {
    OutsideSlowPath outside;
    work(argument);
  }
  Redirect(bound);
}

}  // namespace

bool RunArenaHook(unsigned arena, void (*work)(void* argument), void* argument) {
  if (IsInHook(arena)) {
    TellReentry(arena);
    return false;
  }
  Caller* caller = NoteCaller(arena);
  const int error = errno;
  if (thread_locals.depth == 1) {
    RunOutside(work, argument);
  } else {
    work(argument);
  }
  errno = error;
  if (caller != nullptr) caller->thread.store(nullptr, std::memory_order_relaxed);
  return true;
}

void ServeArenaHooks(unsigned arena) {
  if (runtime.page_heap.HookedMemoryOf(arena) == nullptr) return;
  runtime.arenas.ServeHooked(arena, runtime.clock.NowMs());
}

void HoldArenaHooks() {
  uint32_t own = 0;
  for (const Caller& caller : callers) own += IsOwn(caller);
  runtime.page_heap.HoldHooks(own);
}

void LetArenaHooks() { runtime.page_heap.LetHooks(); }

void ResetArenaHooksAfterFork() {
  for (Caller& caller : callers) {
    if (!IsOwn(caller)) {
      caller.thread.store(nullptr, std::memory_order_relaxed);
    } else if (HookedMemory* memory =
                   runtime.page_heap.HookedMemoryOf(caller.arena.load(std::memory_order_relaxed))) {
      memory->NoteInHook();
    }
  }
}

}  // namespace spanmalloc
