// SPDX-License-Identifier: Apache-2.0
#include "allocator/os/lock_stats.h"

namespace spanmalloc::os {
namespace {

struct Counts {
  std::atomic<uint64_t> sleep_ns{0};
  std::atomic<uint64_t> max_ns{0};
  std::atomic<uint32_t> waiting{0};
  std::atomic<uint32_t> max_waiting{0};
};

constinit Counts counts[kLockKinds];

template <typename T>
void RaiseTo(std::atomic<T>& maximum, T value) {
  T seen = maximum.load(std::memory_order_relaxed);
  while (seen < value && !maximum.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

LockWaits LockWaitsOf(LockKind kind) {
  const Counts& of = counts[kind];
  return {of.sleep_ns.load(std::memory_order_relaxed), of.max_ns.load(std::memory_order_relaxed),
          of.max_waiting.load(std::memory_order_relaxed)};
}

void ResetLockWaits() {
  for (Counts& of : counts) {
    of.sleep_ns.store(0, std::memory_order_relaxed);
    of.max_ns.store(0, std::memory_order_relaxed);
    of.max_waiting.store(0, std::memory_order_relaxed);
  }
}

void ResetLockWaitsAfterFork() {
  for (Counts& of : counts) of.waiting.store(0, std::memory_order_relaxed);
}

void NoteSleeps(LockKind kind) {
  Counts& of = counts[kind];
  RaiseTo(of.max_waiting, of.waiting.fetch_add(1, std::memory_order_relaxed) + 1);
}

void NoteSlept(LockKind kind, uint64_t ns) {
  Counts& of = counts[kind];
  of.waiting.fetch_sub(1, std::memory_order_relaxed);
  of.sleep_ns.fetch_add(ns, std::memory_order_relaxed);
  RaiseTo(of.max_ns, ns);
}

}  // namespace spanmalloc::os
