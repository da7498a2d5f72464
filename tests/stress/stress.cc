// SPDX-License-Identifier: Apache-2.0
//
// A multithreaded stress of the whole allocator: sizes of all scales, lifetimes from nothing to the
// whole run, every entry point, realloc, alignment, blocks passed between threads, threads that end
// and are replaced. Every block carries a pattern that is verified before it goes.
//
//   stress [--seconds=N] [--threads=N] [--seed=N] [--megabytes=N]
//
// Run by the stress tests for a few seconds, and by hand, preloaded, for as long as you like.

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <new>

#include "tests/override/check.h"

namespace {

enum class Origin : uint8_t { kMalloc, kNew, kAlignedNew };

struct Header {  // the start of each block; the pattern fills the rest
  size_t size;
  uint32_t seed;
  uint32_t alignment;
  Origin origin;
};

constexpr int kShared = 4096;         // slots through which threads pass blocks
constexpr int kOwn = 512;             // blocks a thread keeps to itself
constexpr int kStepsPerLife = 20000;  // after which a thread ends and another takes its place

std::atomic<Header*> shared[kShared];
std::atomic<size_t> live_bytes{0};
std::atomic<uint64_t> operations{0};
std::atomic<bool> stop{false};
size_t max_live_bytes = 256u << 20;

size_t RandomSize(uint64_t* random) {
  // Every power of two up to 512 KiB is as likely as the next in the small, rare in the large.
  uint32_t scale = check::Random(random) % (check::Random(random) % 64 == 0 ? 20 : 11);
  if (check::Random(random) % 20000 == 0) scale = 24;
  return sizeof(Header) + check::Random(random) % (size_t{2} << scale);
}

void CheckBlock(const Header* block, size_t size) {
  CHECK(check::Holds(block + 1, size - sizeof(Header), block->seed),
        "the contents of a block of %zu bytes at %p changed", block->size,
        static_cast<const void*>(block));
}

Header* Allocate(uint64_t* random) {
  if (live_bytes.load(std::memory_order_relaxed) > max_live_bytes) return nullptr;
  size_t size = RandomSize(random);
  uint32_t alignment = 16;
  Origin origin = Origin::kMalloc;
  void* block = nullptr;
  switch (check::Random(random) % 10) {
    case 0:
      block = calloc(1, size);
      CHECK(block == nullptr || check::IsZero(block, size), "calloc(%zu) is not zero", size);
      break;
    case 1:
      alignment <<= check::Random(random) % 9;
      block = memalign(alignment, size);
      break;
    case 2:
      alignment <<= check::Random(random) % 9;
      if (posix_memalign(&block, alignment, size) != 0) block = nullptr;
      break;
    case 3:
      block = ::operator new(size);
      origin = Origin::kNew;
      break;
    case 4:
      alignment <<= check::Random(random) % 9;
      block = ::operator new(size, std::align_val_t(alignment));
      origin = Origin::kAlignedNew;
      break;
    default:
      block = malloc(size);
  }
  CHECK(block != nullptr, "no memory for %zu bytes, errno %d", size, errno);
  CHECK(check::IsAligned(block, alignment), "%p is not aligned to %u", block, alignment);
  CHECK(malloc_usable_size(block) >= size, "usable size %zu of %zu", malloc_usable_size(block),
        size);
  Header* header = static_cast<Header*>(block);
  *header = {size, check::Random(random), alignment, origin};
  check::Fill(header + 1, size - sizeof(Header), header->seed);
  live_bytes.fetch_add(size, std::memory_order_relaxed);
  return header;
}

void Free(Header* block) {
  if (block == nullptr) return;
  CheckBlock(block, block->size);
  live_bytes.fetch_sub(block->size, std::memory_order_relaxed);
  switch (block->origin) {
    case Origin::kMalloc:
      free(block);
      break;
    case Origin::kNew:
      ::operator delete(block, block->size);
      break;
    case Origin::kAlignedNew:
      ::operator delete(block, block->size, std::align_val_t(block->alignment));
      break;
  }
}

Header* Resize(Header* block, uint64_t* random) {
  if (block == nullptr || block->origin != Origin::kMalloc) return block;
  size_t old_size = block->size;
  size_t size = RandomSize(random);
  block = static_cast<Header*>(realloc(static_cast<void*>(block), size));
  CHECK(block != nullptr, "no memory to realloc %zu to %zu", old_size, size);
  CheckBlock(block, size < old_size ? size : old_size);
  live_bytes.fetch_add(size - old_size, std::memory_order_relaxed);
  block->size = size;
  check::Fill(block + 1, size - sizeof(Header), block->seed);
  return block;
}

void* Live(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  static thread_local Header* own[kOwn];
  int step = 0;
  for (; step < kStepsPerLife && !stop.load(std::memory_order_relaxed); ++step) {
    Header*& mine = own[check::Random(&random) % kOwn];
    auto& common = shared[check::Random(&random) % kShared];
    switch (check::Random(&random) % 6) {
      case 0:
        Free(common.exchange(Allocate(&random), std::memory_order_acq_rel));
        break;
      case 1:
        mine = common.exchange(mine, std::memory_order_acq_rel);
        break;
      case 2:
        mine = Resize(mine, &random);
        break;
      case 3:
        Free(Allocate(&random));
        break;
      default:
        Free(mine);
        mine = Allocate(&random);
    }
  }
  // Half of what it has dies with the thread, the other half stays for others to free.
  for (int i = 0; i < kOwn; ++i) {
    Free(i % 2 == 0 ? own[i] : shared[check::Random(&random) % kShared].exchange(own[i]));
  }
  operations.fetch_add(static_cast<uint64_t>(step), std::memory_order_relaxed);
  return nullptr;
}

void* KeepOneAlive(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  while (!stop.load(std::memory_order_relaxed)) {
    pthread_t thread;
    uintptr_t seed = check::Random(&random) + 1;
    CHECK(pthread_create(&thread, nullptr, Live, reinterpret_cast<void*>(seed)) == 0,
          "cannot start a thread");
    pthread_join(thread, nullptr);
  }
  return nullptr;
}

long Flag(int argc, char** argv, const char* name, long fallback) {
  for (int i = 1; i < argc; ++i) {
    size_t length = strlen(name);
    if (strncmp(argv[i], name, length) == 0 && argv[i][length] == '=') {
      return atol(argv[i] + length + 1);
    }
  }
  return fallback;
}

}  // namespace

int main(int argc, char** argv) {
  long seconds = Flag(argc, argv, "--seconds", 5);
  long thread_count = Flag(argc, argv, "--threads", 6);
  long seed = Flag(argc, argv, "--seed", time(nullptr));
  max_live_bytes = static_cast<size_t>(Flag(argc, argv, "--megabytes", 256)) << 20;
  CHECK(thread_count > 0 && thread_count <= 256, "between 1 and 256 threads");
  printf("seed %ld\n", seed);
  fflush(stdout);
  pthread_t threads[256];
  for (long i = 0; i < thread_count; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, KeepOneAlive,
                         reinterpret_cast<void*>(static_cast<uintptr_t>(seed * 1000 + i))) == 0,
          "cannot start a thread");
  }
  size_t peak = 0;
  for (long tick = 0; tick < seconds * 10; ++tick) {
    usleep(100000);
    size_t resident = check::ResidentBytes();
    if (resident > peak) peak = resident;
  }
  stop = true;
  for (long i = 0; i < thread_count; ++i) pthread_join(threads[i], nullptr);
  for (auto& slot : shared) Free(slot.exchange(nullptr));
  CHECK(live_bytes.load() == 0, "%zu bytes are not accounted for", live_bytes.load());
  printf("%llu operations, peak resident memory %zu MiB\n",
         static_cast<unsigned long long>(operations.load()), peak >> 20);
  return 0;
}
