// SPDX-License-Identifier: Apache-2.0
//
// The default extent hooks: memory of the kernel's, mapped and unmapped.
#include "allocator/heap/extent_hooks.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/params/memory_geometry.h"

namespace spanmalloc {
namespace {

constinit os::KernelMemory kernel;

void* MapAligned(size_t size, size_t alignment) {
  const size_t page = kernel.PageSize();
  const size_t slack = alignment > page ? alignment - page : 0;
  size_t whole;
  if (__builtin_add_overflow(size, slack, &whole)) return nullptr;
  char* mapped = static_cast<char*>(kernel.Map(whole));
  if (mapped == nullptr) return nullptr;
  const uintptr_t start = RoundUp(reinterpret_cast<uintptr_t>(mapped), alignment);
  const size_t before = start - reinterpret_cast<uintptr_t>(mapped);
  if (before != 0) kernel.Unmap(mapped, before);
  if (before != slack) kernel.Unmap(mapped + before + size, slack - before);
  return mapped + before;
}

void* Alloc(ExtentHooks*, void* new_addr, size_t size, size_t alignment, bool* zero, bool* commit,
            unsigned) {
  const size_t page = kernel.PageSize();
  if (size == 0 || size % page != 0 || (alignment & (alignment - 1)) != 0) return nullptr;
  void* memory = new_addr;
  if (new_addr == nullptr) {
    memory = MapAligned(size, alignment < page ? page : alignment);
  } else if (!kernel.MapAt(new_addr, size)) {
    memory = nullptr;
  }
  if (memory == nullptr) return nullptr;
  *zero = true;
  *commit = true;
  return memory;
}

bool Dalloc(ExtentHooks*, void* addr, size_t size, bool, unsigned) {
  return !kernel.Unmap(addr, size);
}

void Destroy(ExtentHooks*, void* addr, size_t size, bool, unsigned) { kernel.Unmap(addr, size); }

// Memory is committed when it is mapped, and stays so.
bool Commit(ExtentHooks*, void*, size_t, size_t, size_t, unsigned) { return false; }
bool Decommit(ExtentHooks*, void*, size_t, size_t, size_t, unsigned) { return true; }

bool Purge(ExtentHooks*, void* addr, size_t, size_t offset, size_t length, unsigned) {
  return !kernel.Release(static_cast<char*>(addr) + offset, length);
}

bool Split(ExtentHooks*, void*, size_t, size_t, size_t, bool, unsigned) { return false; }
bool Merge(ExtentHooks*, void*, size_t, void*, size_t, bool, unsigned) { return false; }

}  // namespace

const ExtentHooks kDefaultExtentHooks = {
    .alloc = &Alloc,
    .dalloc = &Dalloc,
    .destroy = &Destroy,
    .commit = &Commit,
    .decommit = &Decommit,
    .purge_lazy = &Purge,
    .purge_forced = &Purge,
    .split = &Split,
    .merge = &Merge,
};

}  // namespace spanmalloc
