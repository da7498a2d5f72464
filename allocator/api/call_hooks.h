// SPDX-License-Identifier: Apache-2.0
//
// Functions of the program's that are told of every allocation and every free: gperftools'
// MallocHook (malloc_hook_api.cc sets them). They are called where calls are counted
// (counted_calls.cc), outside of the allocator's locks, so that they may allocate; a program
// without any pays nothing for them, and one that has one has every thread count.
//
// Lists of atomic pointers; a hook may be called a last time while it is being removed.
#ifndef SPANMALLOC_ALLOCATOR_API_CALL_HOOKS_H_
#define SPANMALLOC_ALLOCATOR_API_CALL_HOOKS_H_

#include <errno.h>

#include <atomic>
#include <cstddef>

namespace spanmalloc {

using NewHook = void (*)(const void* block, size_t size);
using DeleteHook = void (*)(const void* block);

template <typename Hook>
class HookList {
 public:
  constexpr HookList() = default;

  // False if the list is full, or for nullptr.
  bool Add(Hook hook) {
    if (hook == nullptr) return false;
    for (size_t i = 1; i < kPlaces; ++i) {
      if (Replace(i, nullptr, hook)) return true;
    }
    return false;
  }

  // False if it isn't in the list.
  bool Remove(Hook hook) {
    if (hook == nullptr) return false;
    for (size_t i = 1; i < kPlaces; ++i) {
      if (Replace(i, hook, nullptr)) return true;
    }
    return false;
  }

  // Sets the one hook that there is besides, nullptr for none; returns the one before.
  Hook Set(Hook hook) { return hooks_[0].exchange(hook, std::memory_order_seq_cst); }

  // Whatever hooks do, the caller of malloc or free finds errno as it was.
  template <typename... Arguments>
  void Call(Arguments... arguments) const {
    const int saved = errno;
    for (const std::atomic<Hook>& place : hooks_) {
      if (const Hook hook = place.load(std::memory_order_relaxed)) hook(arguments...);
    }
    errno = saved;
  }

 private:
  static constexpr size_t kPlaces = 8;

  bool Replace(size_t i, Hook from, Hook to) {
    return hooks_[i].compare_exchange_strong(from, to, std::memory_order_seq_cst);
  }

  std::atomic<Hook> hooks_[kPlaces] = {};
};

struct CallHooks {
  HookList<NewHook> on_new;
  HookList<DeleteHook> on_delete;
  // Set with the first hook, for ever.
  std::atomic<bool> wanted{false};
};

extern __attribute__((visibility("hidden"))) CallHooks call_hooks;

inline bool WantsCallHooks() { return call_hooks.wanted.load(std::memory_order_relaxed); }

// Before the first hook is added: all threads count from now on.
void WantCallHooks();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_CALL_HOOKS_H_
