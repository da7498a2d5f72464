// SPDX-License-Identifier: Apache-2.0
#include "allocator/cache/explicit_caches.h"

#include <new>

namespace spanmalloc {

bool ExplicitCaches::Create(unsigned* index) {
  os::LockHolder hold(table_lock_);
  auto* table = table_.load(std::memory_order_relaxed);
  if (table == nullptr) {
    // Zeros are null pointers.
    table = static_cast<std::atomic<ExplicitCache*>*>(
        context_.metadata.Allocate(kMaxCaches * sizeof(*table)));
    if (table == nullptr) return false;
    // Release: pairs with the acquire in Find.
    table_.store(table, std::memory_order_release);
  }
  unsigned free_index = 0;
  while (free_index < end_ && Find(free_index) != nullptr) ++free_index;
  if (free_index == kMaxCaches) return false;
  void* block = context_.metadata.Allocate(sizeof(ExplicitCache));
  if (block == nullptr) return false;
  // Release: pairs with the acquire in Find.
  table[free_index].store(new (block) ExplicitCache(context_), std::memory_order_release);
  if (free_index == end_) ++end_;
  *index = free_index;
  return true;
}

bool ExplicitCaches::Flush(unsigned index) {
  os::LockHolder hold(table_lock_);
  ExplicitCache* cache = Find(index);
  if (cache == nullptr) return false;
  cache->Flush();
  return true;
}

bool ExplicitCaches::Destroy(unsigned index) {
  os::LockHolder hold(table_lock_);
  ExplicitCache* cache = Find(index);
  if (cache == nullptr) return false;
  table_.load(std::memory_order_relaxed)[index].store(nullptr, std::memory_order_relaxed);
  cache->Flush();
  context_.metadata.Delete(cache);
  return true;
}

void ExplicitCaches::FlushArena(unsigned arena) {
  os::LockHolder hold(table_lock_);
  ForEach([arena](ExplicitCache& cache) {
    if (cache.arena() == arena) cache.Flush();
  });
}

void ExplicitCaches::LockAll() {
  table_lock_.Lock();
  ForEach([](ExplicitCache& cache) ABSL_NO_THREAD_SAFETY_ANALYSIS { cache.lock().Lock(); });
}

void ExplicitCaches::UnlockAll() {
  ForEach([](ExplicitCache& cache) ABSL_NO_THREAD_SAFETY_ANALYSIS { cache.lock().Unlock(); });
  table_lock_.Unlock();
}

void ExplicitCaches::ResetAfterFork() {
  ForEach([](ExplicitCache& cache) { cache.lock().ResetAfterFork(); });
  table_lock_.ResetAfterFork();
}

bool ExplicitCaches::CheckInvariants() {
  os::LockHolder hold(table_lock_);
  bool good = true;
  ForEach([&good](ExplicitCache& cache) { good = good && cache.CheckInvariants(); });
  return good;
}

}  // namespace spanmalloc
