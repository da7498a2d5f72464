// SPDX-License-Identifier: Apache-2.0
//
// Memory for the allocator's own structures: descriptors, tables, thread states, arrays of object
// pointers. It comes from mappings apart from the heap, so that a program writing past its blocks
// doesn't reach it. Blocks are recycled by size, never returned to the kernel.
//
// Called by every floor from cache down to heap. One lock, the last in rank order.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_METADATA_ALLOCATOR_H_
#define SPANMALLOC_ALLOCATOR_HEAP_METADATA_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "allocator/os/ranked_lock.h"
#include "allocator/os/virtual_memory.h"

namespace spanmalloc {

// When a block is first written to. What may never be lies apart, lest it share pages with others.
enum class FirstWrite : uint8_t { kSoon, kPerhaps };

class MetadataAllocator {
 public:
  explicit constexpr MetadataAllocator(os::VirtualMemory& memory) : memory_(memory) {}

  // A block of at least `size` bytes, aligned to a cache line, all zero. nullptr if the kernel
  // refuses memory. Thread-safe.
  void* Allocate(size_t size, FirstWrite first_write = FirstWrite::kSoon)
      ABSL_LOCKS_EXCLUDED(lock_);

  // Takes back a block that Allocate returned for the same `size`. Thread-safe.
  void Free(void* block, size_t size) ABSL_LOCKS_EXCLUDED(lock_);

  // A T constructed by default; nullptr if the kernel refuses memory.
  template <typename T>
  T* New() {
    static_assert(alignof(T) <= 64);
    void* block = Allocate(sizeof(T));
    return block == nullptr ? nullptr : new (block) T();
  }
  // The same of a T that is all zero by default, as the block is: no page of it is touched.
  template <typename T>
  T* NewZero() {
    static_assert(alignof(T) <= 64 && std::is_trivially_destructible_v<T>);
    return static_cast<T*>(Allocate(sizeof(T)));
  }
  template <typename T>
  void Delete(T* object) {
    object->~T();
    Free(object, sizeof(T));
  }

  // Bytes in use, and bytes mapped. (Mapped pages that were never used aren't resident.)
  size_t used_bytes() ABSL_LOCKS_EXCLUDED(lock_);
  size_t mapped_bytes() ABSL_LOCKS_EXCLUDED(lock_);

  // Asks the kernel how many bytes are resident.
  size_t ResidentBytes() ABSL_LOCKS_EXCLUDED(lock_);

  os::RankedLock& lock() ABSL_LOCK_RETURNED(lock_) { return lock_; }

 private:
  static constexpr size_t kStep = 64;          // block sizes up to kMaxStepped are its multiples
  static constexpr size_t kMaxStepped = 4096;  // above, block sizes are powers of two
  static constexpr size_t kLists = kMaxStepped / kStep + 16;
  static constexpr size_t kFirstChunk = size_t{256} << 10;
  static constexpr size_t kChunk = size_t{1} << 20;

  struct FreeBlock {
    FreeBlock* next;
  };

  // Where blocks are cut that were never used.
  struct Fresh {
    char* bump = nullptr;
    size_t left = 0;
  };

  // The start of each mapping. Written once.
  struct alignas(64) Chunk {
    Chunk* previous;
    size_t size;
  };

  static size_t BlockSize(size_t size);
  static size_t ListIndex(size_t block_size);
  bool MapChunk(Fresh* fresh, size_t at_least) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  os::VirtualMemory& memory_;
  os::RankedLock lock_{LockRank::kMetadata};
  Fresh fresh_[2] ABSL_GUARDED_BY(lock_);  // by FirstWrite
  Chunk* last_chunk_ ABSL_GUARDED_BY(lock_) = nullptr;
  size_t used_ ABSL_GUARDED_BY(lock_) = 0;
  size_t mapped_ ABSL_GUARDED_BY(lock_) = 0;
  FreeBlock* free_[kLists] ABSL_GUARDED_BY(lock_) = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_METADATA_ALLOCATOR_H_
