// SPDX-License-Identifier: Apache-2.0
//
// Buffers that grow in turn, by half at each step. Up to 32 KiB they are blocks of size classes, as
// new blocks of those sizes are; beyond, spans of their own. The room that is kept behind a buffer
// that is being filled goes back as soon as another one grows.

#include <malloc.h>

#include "tests/override/check.h"
#include "tests/override/statistics.h"

namespace {

constexpr size_t kBuffers = 200;
constexpr size_t kMaxOfClasses = size_t{32} << 10;
constexpr size_t kLargest = size_t{200} << 10;

size_t LargeBytes() { return statistics::Read("stats.arenas.0.large.allocated"); }

void* Grow(void* block, size_t old_size, size_t size, uint64_t seed) {
  block = realloc(block, size);
  CHECK(block != nullptr, "realloc(%zu -> %zu) failed", old_size, size);
  CHECK(check::Holds(block, old_size, seed), "realloc(%zu -> %zu) lost contents", old_size, size);
  check::Fill(block, size, seed);
  return block;
}

size_t UsableOfNew(size_t size) {
  void* block = check::Hide(malloc(size));
  const size_t usable = malloc_usable_size(block);
  free(block);
  return usable;
}

void GrowInTurn() {
  const size_t large_before = LargeBytes();
  void* buffers[kBuffers] = {};
  for (size_t old_size = 0, size = 1000; size <= kLargest; old_size = size, size += size / 2) {
    for (size_t i = 0; i < kBuffers; ++i) buffers[i] = Grow(buffers[i], old_size, size, i);
    const size_t large = LargeBytes() - large_before;
    if (size <= kMaxOfClasses) {
      const size_t usable = malloc_usable_size(buffers[0]);
      CHECK(usable == UsableOfNew(size), "%zu bytes usable of %zu", usable, size);
      CHECK(large == 0, "%zu bytes of large blocks at %zu", large, size);
    } else {
      CHECK(large >= kBuffers * size, "%zu bytes of large blocks at %zu", large, size);
    }
  }
  for (void* buffer : buffers) free(buffer);
}

// Fills a buffer to `size` bytes.
void* Filled(size_t size) {
  void* block = nullptr;
  size_t old_size = 0;
  for (size_t step = 1000; old_size < size; step += step / 2) {
    block = Grow(block, old_size, step < size ? step : size, 1);
    old_size = step < size ? step : size;
  }
  return block;
}

// `others`: the bytes of large blocks but for `buffer`, which is the one that grew last.
void KeepRoomWhileGrowing(size_t others, void* buffer, size_t size) {
  const size_t more = size + size / 4;
  buffer = Grow(buffer, size, more, 1);
  CHECK(LargeBytes() >= others + 2 * more, "no room is kept behind %zu bytes", more);
  void* other = Grow(Grow(nullptr, 0, 100, 2), 100, 1000, 2);
  CHECK(LargeBytes() < others + 2 * more, "the room of %zu bytes is kept while others grow", more);
  // Nor may it take what is no longer its own.
  buffer = Grow(buffer, more, 4 * more, 1);
  CHECK(check::Holds(other, 1000, 2), "another block changed");
  free(other);
  free(buffer);
  malloc_trim(0);
}

}  // namespace

int main() {
  GrowInTurn();
  malloc_trim(0);
  constexpr size_t kSize = size_t{40} << 10;
  const size_t others = LargeBytes();
  KeepRoomWhileGrowing(others, Filled(kSize), kSize);
  // A block that moved once gets room when it grows again.
  KeepRoomWhileGrowing(others, Grow(Grow(nullptr, 0, 100, 1), 100, kSize, 1), kSize);
  return 0;
}
