// SPDX-License-Identifier: Apache-2.0
//
// What the wrong programs of tests/misuse share. Each commits one fault, having said on stdout
// which pointer it concerns, and then drives the allocator through its slow paths, so that a fault
// which the fast path lets pass must be found when the object leaves the thread cache.
//
// misuse_test.py runs them and knows what each must end with.

#ifndef SPANMALLOC_TESTS_MISUSE_MISUSE_H_
#define SPANMALLOC_TESTS_MISUSE_MISUSE_H_

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace misuse {

// Sizes of the kinds of block: a small object in a span with many others, a run of pages, and a
// block of many huge pages.
constexpr size_t kSmall = 64;
constexpr size_t kLarge = size_t{1} << 20;
constexpr size_t kHuge = size_t{64} << 20;

// More objects than all caches above the spans hold together.
constexpr int kMany = 100000;

// The same value, about which the compiler knows nothing.
template <typename T>
inline T Hide(T value) {
  asm volatile("" : "+r"(value) : : "memory");
  return value;
}

inline void Announce(const void* pointer) {
  char line[32];
  int length = snprintf(line, sizeof(line), "0x%lx\n", reinterpret_cast<unsigned long>(pointer));
  if (write(STDOUT_FILENO, line, static_cast<size_t>(length)) != length) _exit(3);
}

inline void* Allocate(size_t size) {
  void* block = Hide(malloc(size));
  if (block == nullptr) _exit(3);
  memset(block, 1, size);
  return block;
}

// Holds kMany objects of one size until the end of its scope and frees them then: whatever was
// freed into the thread cache before that is pushed out of it, and of the caches behind it.
class Flood {
 public:
  explicit Flood(size_t size) {
    for (void*& object : objects_) object = Allocate(size);
  }
  ~Flood() {
    Free(0, kMany);
    malloc_trim(0);
  }

  // Frees every second object: what the caches hold reaches the spans, which stay in use.
  void FreeHalf() {
    for (int i = 0; i < kMany; i += 2) Free(i, i + 1);
    malloc_trim(0);
  }

 private:
  static void Free(int from, int to) {
    for (int i = from; i < to; ++i) {
      free(objects_[i]);
      objects_[i] = nullptr;
    }
  }

  static inline void* objects_[kMany];  // one Flood at a time
};

// A thread that is started before the fault and frees a block when told: starting it then would
// itself allocate, and could take the memory of the block.
class SecondThread {
 public:
  SecondThread() {
    pthread_barrier_init(&told_, nullptr, 2);
    if (pthread_create(&thread_, nullptr, Body, this) != 0) _exit(3);
  }

  void Free(void* block) {
    block_ = block;
    pthread_barrier_wait(&told_);
    pthread_join(thread_, nullptr);
  }

 private:
  static void* Body(void* self) {
    auto* thread = static_cast<SecondThread*>(self);
    pthread_barrier_wait(&thread->told_);
    free(thread->block_);
    return nullptr;
  }

  pthread_t thread_;
  pthread_barrier_t told_;
  void* block_ = nullptr;
};

}  // namespace misuse

#endif  // SPANMALLOC_TESTS_MISUSE_MISUSE_H_
