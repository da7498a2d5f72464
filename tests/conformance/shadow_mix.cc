// SPDX-License-Identifier: Apache-2.0
//
// Four threads call every entry point in a random mix and exchange blocks through shared slots, so
// that most blocks are freed by another thread; every block carries a pattern, which is verified
// before it is freed or reallocated.

#include <malloc.h>
#include <pthread.h>

#include <atomic>
#include <new>

#include "tests/override/check.h"

namespace {

struct Header {  // written at the start of each block; the pattern follows
  size_t size;
  uint32_t seed;
  bool by_new;
};

constexpr int kSlots = 2000;
constexpr int kStepsPerThread = 150000;
std::atomic<Header*> slots[kSlots];

Header* Allocate(uint64_t* random) {
  size_t limit = check::Random(random) % 200 == 0 ? 400000 : 1500;
  size_t size = sizeof(Header) + check::Random(random) % limit;
  size_t alignment = size_t{16} << (check::Random(random) % 9);
  void* block = nullptr;
  bool by_new = false;
  switch (check::Random(random) % 7) {
    case 0:
      block = calloc(1, size);
      CHECK(check::IsZero(block, size), "calloc(%zu) is not zero", size);
      break;
    case 1:
      block = aligned_alloc(alignment, size);
      CHECK(check::IsAligned(block, alignment), "%p is not aligned to %zu", block, alignment);
      break;
    case 2:
      CHECK(posix_memalign(&block, alignment, size) == 0, "posix_memalign failed");
      break;
    case 3:
      block = ::operator new(size);
      by_new = true;
      break;
    case 4:
      block = realloc(malloc(size / 2 + 1), size);
      break;
    default:
      block = malloc(size);
  }
  CHECK(block != nullptr, "no memory for %zu", size);
  Header* header = static_cast<Header*>(block);
  *header = {size, check::Random(random), by_new};
  check::Fill(header + 1, size - sizeof(Header), header->seed);
  return header;
}

void Verify(Header* header, size_t size) {
  CHECK(check::Holds(header + 1, size - sizeof(Header), header->seed), "a block of %zu changed",
        header->size);
}

void Release(Header* header, uint64_t* random) {
  Verify(header, header->size);
  if (header->by_new) {
    ::operator delete(header, header->size);
  } else if (check::Random(random) % 4 == 0) {
    size_t size = sizeof(Header) + check::Random(random) % 3000;
    size_t kept = size < header->size ? size : header->size;
    header = static_cast<Header*>(realloc(static_cast<void*>(header), size));
    Verify(header, kept);
    free(header);
  } else {
    free(header);
  }
}

void* Run(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  for (int step = 0; step < kStepsPerThread; ++step) {
    Header* fresh = check::Random(&random) % 16 == 0 ? nullptr : Allocate(&random);
    Header* old = slots[check::Random(&random) % kSlots].exchange(fresh, std::memory_order_acq_rel);
    if (old != nullptr) Release(old, &random);
  }
  return nullptr;
}

}  // namespace

int main() {
  pthread_t threads[4];
  uintptr_t seed = 1;
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Run, reinterpret_cast<void*>(seed++)) == 0,
          "cannot start a thread");
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  uint64_t random = 99;
  for (auto& slot : slots) {
    if (Header* header = slot.load()) Release(header, &random);
  }
  return 0;
}
