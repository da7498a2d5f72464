// SPDX-License-Identifier: Apache-2.0
//
// Threads that make arenas, are bound to them, pass each other blocks, reset and destroy them, and
// read the statistics, all at once: every block keeps what was written to it.

#include <pthread.h>

#include "tests/override/arenas.h"

namespace {

constexpr int kThreads = 6;
constexpr int kRounds = 150;
constexpr size_t kSlots = 256;

// Blocks on their way between threads; each starts with its size.
void* passed[kSlots];

void Check(void* block) {
  if (block == nullptr) return;
  const size_t size = *static_cast<size_t*>(block);
  const auto* bytes = static_cast<unsigned char*>(block);
  CHECK(bytes[size - 1] == static_cast<unsigned char>(size * 7), "a block changed");
}

void* Block(unsigned arena, size_t size) {
  void* block = arena == 0 ? malloc(size) : arenas::Mallocx(size, arenas::In(arena));
  CHECK(block != nullptr, "no block of %zu bytes", size);
  static_cast<unsigned char*>(block)[size - 1] = static_cast<unsigned char>(size * 7);
  *static_cast<size_t*>(block) = size;
  return block;
}

size_t SizeFrom(uint64_t random) {
  return 16 + random % (random % 16 == 0 ? 400000 : random % 4 == 0 ? 20000 : 500);
}

void* Work(void* seed) {
  uint64_t random = reinterpret_cast<uintptr_t>(seed) * 0x9e3779b97f4a7c15u + 1;
  const auto next = [&random] {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random;
  };
  const uint64_t end = check::NowMs() + 20000;
  for (int round = 0; round < kRounds && check::NowMs() < end; ++round) {
    const unsigned arena = arenas::Create();
    // Blocks for others outlive the arena, so they come from the heap of all.
    for (int i = 0; i < 100; ++i) {
      void* block = __atomic_exchange_n(&passed[next() % kSlots], Block(0, SizeFrom(next())),
                                        __ATOMIC_ACQ_REL);
      Check(block);
      free(block);
    }
    CHECK(arenas::Bind(arena) == 0, "cannot bind the thread");
    void* own[200];
    for (int part = 0; part < 3; ++part) {
      for (size_t i = 0; i < 200; ++i) {
        own[i] = Block(i % 2 == 0 ? 0 : arena, SizeFrom(next()));
        CHECK(arenas::Of(own[i]) == static_cast<int>(arena), "a block of another arena");
        void* block = __atomic_exchange_n(&passed[next() % kSlots], nullptr, __ATOMIC_ACQ_REL);
        Check(block);
        free(block);
      }
      for (void* block : own) Check(block);
      for (size_t i = 0; i < 200; ++i) {
        if (part == 0 || i % 2 == 0) free(own[i]);
      }
      if (part == 1) CHECK(arenas::Do(arena, "reset") == 0, "reset failed");
    }
    if (round % 8 == 0) arenas::Stat(arena, "small.nmalloc");
    if (round % 8 == 4) arenas::Do(4096, "purge");
    CHECK(arenas::Bind(0) == 0, "cannot unbind the thread");
    CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
  }
  return nullptr;
}

}  // namespace

int main() {
  pthread_t threads[kThreads];
  for (uintptr_t i = 0; i < kThreads; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, Work, reinterpret_cast<void*>(i + 1)) == 0,
          "cannot start a thread");
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  for (void* block : passed) {
    Check(block);
    free(block);
  }
  return 0;
}
