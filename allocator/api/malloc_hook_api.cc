// SPDX-License-Identifier: Apache-2.0
//
// gperftools' hooks. Contracts: malloc_hook_c.h. Programs that were linked with its library may
// name those of mmap and its like, too; they are here for the linker, and say that they failed.
#include <spanmalloc/malloc_hook_c.h>

#include "allocator/api/call_hooks.h"
#include "allocator/api/exported.h"

namespace spanmalloc {
namespace {

template <typename Hook>
bool AddHook(HookList<Hook>& list, Hook hook) {
  WantCallHooks();
  return list.Add(hook);
}

template <typename Hook>
Hook SetHook(HookList<Hook>& list, Hook hook) {
  if (hook != nullptr) WantCallHooks();
  return list.Set(hook);
}

}  // namespace
}  // namespace spanmalloc

using spanmalloc::call_hooks;

extern "C" {

SPANMALLOC_EXPORT int MallocHook_AddNewHook(MallocHook_NewHook hook) noexcept {
  return spanmalloc::AddHook(call_hooks.on_new, hook);
}
SPANMALLOC_EXPORT int MallocHook_AddDeleteHook(MallocHook_DeleteHook hook) noexcept {
  return spanmalloc::AddHook(call_hooks.on_delete, hook);
}
SPANMALLOC_EXPORT int MallocHook_RemoveNewHook(MallocHook_NewHook hook) noexcept {
  return call_hooks.on_new.Remove(hook);
}
SPANMALLOC_EXPORT int MallocHook_RemoveDeleteHook(MallocHook_DeleteHook hook) noexcept {
  return call_hooks.on_delete.Remove(hook);
}
SPANMALLOC_EXPORT MallocHook_NewHook MallocHook_SetNewHook(MallocHook_NewHook hook) noexcept {
  return spanmalloc::SetHook(call_hooks.on_new, hook);
}
SPANMALLOC_EXPORT MallocHook_DeleteHook
MallocHook_SetDeleteHook(MallocHook_DeleteHook hook) noexcept {
  return spanmalloc::SetHook(call_hooks.on_delete, hook);
}

SPANMALLOC_EXPORT int MallocHook_GetCallerStackTrace(void**, int, int) noexcept { return 0; }

// ---- those that aren't offered ----

#define SPANMALLOC_NO_HOOK(kind)                                                          \
  SPANMALLOC_EXPORT int MallocHook_Add##kind##Hook(const void*) noexcept { return 0; }    \
  SPANMALLOC_EXPORT int MallocHook_Remove##kind##Hook(const void*) noexcept { return 0; } \
  SPANMALLOC_EXPORT void* MallocHook_Set##kind##Hook(const void*) noexcept { return nullptr; }

#define SPANMALLOC_NO_REPLACEMENT(kind)                                                       \
  SPANMALLOC_EXPORT int MallocHook_Set##kind##Replacement(const void*) noexcept { return 0; } \
  SPANMALLOC_EXPORT int MallocHook_Remove##kind##Replacement(const void*) noexcept { return 0; }

SPANMALLOC_NO_HOOK(PreMmap)
SPANMALLOC_NO_HOOK(Mmap)
SPANMALLOC_NO_HOOK(Munmap)
SPANMALLOC_NO_HOOK(Mremap)
SPANMALLOC_NO_HOOK(PreSbrk)
SPANMALLOC_NO_HOOK(Sbrk)
SPANMALLOC_NO_REPLACEMENT(Mmap)
SPANMALLOC_NO_REPLACEMENT(Munmap)

#undef SPANMALLOC_NO_HOOK
#undef SPANMALLOC_NO_REPLACEMENT

}  // extern "C"
