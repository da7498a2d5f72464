// SPDX-License-Identifier: Apache-2.0
//
// A bounded queue between threads, for workloads that free on another thread than the one that
// allocated. Its storage is inside it, so that passing a batch allocates nothing.

#ifndef BENCHMARKS_WORKLOADS_CHANNEL_H_
#define BENCHMARKS_WORKLOADS_CHANNEL_H_

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace spanmalloc::workloads {

template <typename T, size_t kCapacity>
class Channel {
 public:
  // Waits until there is room.
  void Push(const T& item) {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [this] { return count_ < kCapacity; });
    Append(item);
    not_empty_.notify_one();
  }

  // Waits until there is something.
  void Pop(T* item) {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [this] { return count_ > 0; });
    TakeFirst(item);
    not_full_.notify_one();
  }

  // False if there is no room, or if `limit` items wait.
  bool TryPush(const T& item, size_t limit = kCapacity) {
    std::lock_guard lock(mutex_);
    if (count_ >= std::min(limit, kCapacity)) return false;
    Append(item);
    return true;
  }

  // False if there is nothing.
  bool TryPop(T* item) {
    std::lock_guard lock(mutex_);
    if (count_ == 0) return false;
    TakeFirst(item);
    return true;
  }

 private:
  void Append(const T& item) { items_[(first_ + count_++) % kCapacity] = item; }

  void TakeFirst(T* item) {
    *item = items_[first_];
    first_ = (first_ + 1) % kCapacity;
    --count_;
  }

  std::mutex mutex_;
  std::condition_variable not_full_;
  std::condition_variable not_empty_;
  // All guarded by mutex_.
  std::array<T, kCapacity> items_;
  size_t first_ = 0;
  size_t count_ = 0;
};

}  // namespace spanmalloc::workloads

#endif  // BENCHMARKS_WORKLOADS_CHANNEL_H_
