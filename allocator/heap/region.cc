// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/region.h"

namespace spanmalloc {

// Where a block ends that comes behind `from`.
uintptr_t Region::EndOf(uintptr_t from, size_t size, size_t alignment) const {
  const size_t padding = (0 - from) & (alignment - 1);
  const size_t room = end() - from;
  return size > room || padding > room - size ? end() + 1 : from + padding + size;
}

void* Region::AllocateOwned(size_t size, size_t alignment, uintptr_t* end) {
  *end = EndOf(at, size, alignment);
  if (*end > limit) return nullptr;
  RelaxedStore(at, *end);
  return reinterpret_cast<void*>(*end - size);
}

void* Region::AllocateShared(size_t size, size_t alignment, uintptr_t* end) {
  uintptr_t from = shared_at_.load(std::memory_order_relaxed);
  for (;;) {
    *end = EndOf(from, size, alignment);
    // Acquire: pairs with the release in SetCommitted; what is below the limit is committed.
    if (*end > shared_limit_.load(std::memory_order_acquire)) return nullptr;
    if (shared_at_.compare_exchange_weak(from, *end, std::memory_order_relaxed)) {
      return reinterpret_cast<void*>(*end - size);
    }
  }
}

void Region::SetCommitted(size_t bytes) {
  RelaxedStore(committed_, bytes);
  if (shared_) {
    // Release: pairs with the acquire in AllocateShared.
    shared_limit_.store(base_ + bytes, std::memory_order_release);
  } else {
    limit = base_ + bytes;
  }
}

MarkFault Region::Rewind(const RegionMark& mark) {
  const uint64_t age = mark.time - start_;
  if (mark.position < base_ || mark.position > end() || age == 0 || age > time_ - start_) {
    return MarkFault::kForeign;
  }
  if (mark.position > At()) return MarkFault::kPassed;
  for (size_t i = 0; i < rewinds_; ++i) {
    if (rewound_[i].time > mark.time && rewound_[i].position < mark.position) {
      return MarkFault::kPassed;
    }
  }
  MoveTo(mark.position);
  return MarkFault::kNone;
}

void Region::MoveTo(uintptr_t position) {
  while (rewinds_ != 0 && rewound_[rewinds_ - 1].position >= position) --rewinds_;
  if (rewinds_ == kRewindsKept) {
    --rewinds_;
    for (size_t i = 0; i < rewinds_; ++i) rewound_[i] = rewound_[i + 1];
  }
  rewound_[rewinds_++] = {position, ++time_};
  if (shared_) {
    shared_at_.store(position, std::memory_order_relaxed);
  } else {
    RelaxedStore(at, position);
  }
}

void Region::NoteGone() {
  live_ = 0;
  at = limit = kNowhere;
}

bool Region::CheckInvariants() const {
  if (!IsLive() || committed_ > reserved_ || At() < base_ || At() > base_ + committed_)
    return false;
  if (shared_ ? at != kNowhere || limit != kNowhere : limit != base_ + committed_) return false;
  for (size_t i = 1; i < rewinds_; ++i) {
    if (rewound_[i].position <= rewound_[i - 1].position ||
        rewound_[i].time <= rewound_[i - 1].time)
      return false;
  }
  return true;
}

}  // namespace spanmalloc
