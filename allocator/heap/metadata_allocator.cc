// SPDX-License-Identifier: Apache-2.0
#include "allocator/heap/metadata_allocator.h"

#include <string.h>

#include "absl/numeric/bits.h"
#include "allocator/params/memory_geometry.h"

namespace spanmalloc {

size_t MetadataAllocator::BlockSize(size_t size) {
  return size <= kMaxStepped ? RoundUp(size, kStep) : absl::bit_ceil(size);
}

size_t MetadataAllocator::ListIndex(size_t block_size) {
  if (block_size <= kMaxStepped) return block_size / kStep - 1;
  return kMaxStepped / kStep - 1 + static_cast<size_t>(absl::countr_zero(block_size / kMaxStepped));
}

bool MetadataAllocator::MapChunk(Fresh* fresh, size_t at_least) {
  const size_t usual = fresh->bump == nullptr ? kFirstChunk : kChunk;
  const size_t needed = at_least + sizeof(Chunk);
  const size_t size = needed > usual ? RoundUp(needed, kChunk) : usual;
  auto* chunk = static_cast<Chunk*>(memory_.Map(size));
  if (chunk == nullptr) return false;
  *chunk = {last_chunk_, size};
  last_chunk_ = chunk;
  mapped_ += size;
  *fresh = {reinterpret_cast<char*>(chunk + 1), size - sizeof(Chunk)};
  return true;
}

void* MetadataAllocator::Allocate(size_t size, FirstWrite first_write) {
  const size_t block_size = BlockSize(size);
  const size_t list = ListIndex(block_size);
  os::LockHolder hold(lock_);
  if (list < kLists && free_[list] != nullptr) {
    FreeBlock* block = free_[list];
    free_[list] = block->next;
    used_ += block_size;
    memset(static_cast<void*>(block), 0, block_size);
    return block;
  }
  Fresh& fresh = fresh_[static_cast<size_t>(first_write)];
  if (fresh.left < block_size && !MapChunk(&fresh, block_size)) return nullptr;
  void* block = fresh.bump;
  fresh.bump += block_size;
  fresh.left -= block_size;
  used_ += block_size;
  return block;
}

void MetadataAllocator::Free(void* block, size_t size) {
  const size_t block_size = BlockSize(size);
  const size_t list = ListIndex(block_size);
  os::LockHolder hold(lock_);
  used_ -= block_size;
  if (list >= kLists) return;
  auto* free_block = static_cast<FreeBlock*>(block);
  free_block->next = free_[list];
  free_[list] = free_block;
}

size_t MetadataAllocator::used_bytes() {
  os::LockHolder hold(lock_);
  return used_;
}

size_t MetadataAllocator::mapped_bytes() {
  os::LockHolder hold(lock_);
  return mapped_;
}

// Mappings stay for ever: only the first look at the list needs the lock.
size_t MetadataAllocator::ResidentBytes() {
  const Chunk* chunk;
  {
    os::LockHolder hold(lock_);
    chunk = last_chunk_;
  }
  size_t resident = 0;
  for (; chunk != nullptr; chunk = chunk->previous) {
    resident += memory_.Resident(chunk, chunk->size);
  }
  return resident;
}

}  // namespace spanmalloc
