// SPDX-License-Identifier: Apache-2.0
//
// How many objects a thread cache fetches at a miss and how many it may hold: pure functions of a
// bin's recent history, and the budget in bytes that all thread caches share.
//
// A bin starts small (a thread that allocates little holds little): its second refill is as small
// as its first, and from then on each is twice the last. It may hold more
// when misses and overflows alternate, which shows that a larger bin would have served both.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_CACHE_SIZING_H_
#define SPANMALLOC_ALLOCATOR_CACHE_CACHE_SIZING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/params/size_class_table.h"
#include "allocator/util/sharing_counts.h"

namespace spanmalloc {

// A bin's history, owner thread only.
struct BinHistory {
  uint8_t refill = 0;         // objects to fetch at the next miss
  uint8_t overflows : 7 = 0;  // since the limit last changed
  bool missed : 1 = false;    // since the last overflow
};

// Objects to fetch at a miss; updates the history for the next one.
inline size_t NextRefill(const SizeClassInfo& info, BinHistory* history) {
  const size_t first = info.size > 4096 ? 1 : info.size > 128 ? 2 : 4;
  size_t refill = history->refill == 0 ? first : history->refill;
  if (refill > info.batch) refill = info.batch;
  const size_t next = history->refill == 0 ? first : refill * 2;
  history->refill = static_cast<uint8_t>(next < info.batch ? next : info.batch);
  history->missed = true;
  return refill;
}

// The number of objects that a bin which may hold `limit` should be allowed after an overflow.
inline size_t LimitAfterOverflow(const SizeClassInfo& info, size_t limit, BinHistory* history) {
  ++history->overflows;
  if (!history->missed && history->overflows < 3) return limit;
  history->missed = false;
  history->overflows = 0;
  const size_t wish = limit + (limit > info.batch ? limit : info.batch);
  return wish < info.cache_limit ? wish : info.cache_limit;
}

// Bytes that thread caches may hold between them. Threads take quanta of it in their slow paths.
class CacheBudget {
 public:
  static constexpr int64_t kQuantum = 16 * 1024;

  constexpr CacheBudget() = default;

  // Sets the whole budget. Call once, before any Take.
  void Init(int64_t bytes) {
    total_.store(bytes, std::memory_order_relaxed);
    left_.store(bytes, std::memory_order_relaxed);
  }

  // Sets the whole budget while threads take of it. What they hold beyond a smaller one stays
  // theirs until they return it, as the caches of idle classes and threads do.
  void SetTotal(int64_t bytes) {
    const int64_t before = total_.exchange(bytes, std::memory_order_relaxed);
    left_.fetch_add(bytes - before, std::memory_order_relaxed);
  }
  int64_t total() const { return total_.load(std::memory_order_relaxed); }

  // Takes `bytes` rounded up to quanta; the amount taken, 0 if there isn't as much.
  int64_t Take(int64_t bytes) {
    const int64_t amount = (bytes + kQuantum - 1) / kQuantum * kQuantum;
    // With nothing left, which may be so for long, every thread only reads.
    if (left() < amount) return 0;
    CountEvent(CountedEvent::kBudgetWrite);
    if (left_.fetch_sub(amount, std::memory_order_relaxed) >= amount) return amount;
    CountEvent(CountedEvent::kBudgetWrite);
    left_.fetch_add(amount, std::memory_order_relaxed);
    return 0;
  }

  void Return(int64_t bytes) {
    CountEvent(CountedEvent::kBudgetWrite);
    left_.fetch_add(bytes, std::memory_order_relaxed);
  }
  int64_t left() const { return left_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> left_{0};
  std::atomic<int64_t> total_{0};
};

// What one cache has taken of the budget, to pay for what its bins may hold. Guarded by the cache's
// lock.
class BudgetShare {
 public:
  // Takes what `cost` wants beyond what is spare. Whether all of it is there.
  bool Provide(CacheBudget& budget, int64_t cost) {
    if (spare_ < cost) Add(budget.Take(cost - spare_));
    return spare_ >= cost;
  }

  // Uses `cost` of the share, or overdraws it.
  void Pay(int64_t cost) { spare_ -= cost; }
  void Refund(int64_t bytes) { spare_ += bytes; }

  // Returns what is spare, but for a quantum, if it is worth while.
  void ReturnSurplus(CacheBudget& budget) {
    if (spare_ < 2 * CacheBudget::kQuantum) return;
    const int64_t surplus = spare_ - CacheBudget::kQuantum;
    budget.Return(surplus);
    Add(-surplus);
  }

  // Returns all of it. The bins are paid for no more.
  void ReturnAll(CacheBudget& budget) {
    budget.Return(taken_);
    *this = BudgetShare();
  }

  // What the bins may hold now, in bytes.
  int64_t paid() const { return taken_ - spare_; }
  int64_t taken() const { return taken_; }

 private:
  void Add(int64_t bytes) {
    spare_ += bytes;
    taken_ += bytes;
  }

  int64_t spare_ = 0;  // taken and unused; negative: overdrawn
  int64_t taken_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_CACHE_SIZING_H_
