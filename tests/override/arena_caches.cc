// SPDX-License-Identifier: Apache-2.0
//
// What threads cache of arenas: while some are bound, allocate, free each other's blocks, unbind
// and end, arenas are reset, destroyed and made again as soon as nobody uses their blocks, and the
// process forks. No block changes, and the arenas' numbers are right whenever nobody moves them.

#include <pthread.h>
#include <sys/wait.h>

#include "tests/override/arenas.h"

namespace {

constexpr int kArenas = 3;
constexpr int kWorkers = 5;
constexpr int kBlocks = 120;
constexpr int kShared = 64;
constexpr uint64_t kSeconds = 4;

struct Place {
  // Shared: uses blocks of the arena. Exclusive: frees all of them at once. Threads may be bound to
  // the arena without it.
  pthread_rwlock_t in_use = PTHREAD_RWLOCK_INITIALIZER;
  unsigned arena = 0;
  void* shared[kShared] = {};  // blocks on their way between threads
};
Place places[kArenas];
bool done = false;

// Each block starts with its size and ends with a pattern of it.
void* Marked(void* block, size_t size) {
  CHECK(block != nullptr, "no block of %zu bytes", size);
  static_cast<unsigned char*>(block)[size - 1] = static_cast<unsigned char>(size * 7);
  *static_cast<size_t*>(block) = size;
  return block;
}

// `sized`: by a sized delete, which only threads that are bound may use for an arena's blocks.
void Release(void* block, bool sized) {
  if (block == nullptr) return;
  const size_t size = *static_cast<size_t*>(block);
  CHECK(static_cast<unsigned char*>(block)[size - 1] == static_cast<unsigned char>(size * 7),
        "a block changed");
  *static_cast<size_t*>(block) = ~size_t{0};
  if (sized && size % 3 == 0) {
    operator delete(block, size);
  } else {
    free(block);
  }
}

size_t SizeFrom(uint32_t random) { return 16 + random % (random % 32 == 0 ? 30000 : 400); }

void UseArena(Place& place, bool bound, uint64_t* random) {
  void* own[kBlocks];
  for (void*& block : own) {
    const size_t size = SizeFrom(check::Random(random));
    block = Marked(bound ? malloc(size) : arenas::Mallocx(size, arenas::In(place.arena)), size);
    CHECK(arenas::Of(block) == static_cast<int>(place.arena), "a block of another arena");
  }
  for (void*& block : own) {
    if (check::Random(random) % 4 == 0) {
      block = __atomic_exchange_n(&place.shared[check::Random(random) % kShared], block,
                                  __ATOMIC_ACQ_REL);
    }
    Release(block, bound);
  }
}

void UseCommonHeap(uint64_t* random) {
  for (int i = 0; i < 50; ++i) {
    const size_t size = SizeFrom(check::Random(random));
    void* block = Marked(arenas::Mallocx(size, arenas::In(0)), size);
    CHECK(arenas::Of(block) == 0, "a block of an arena");
    Release(block, true);
  }
}

// A thread that is bound now and then, and ends as it is.
void* Work(void* seed) {
  uint64_t random = reinterpret_cast<uintptr_t>(seed);
  int bound = -1;
  for (int round = 0; round < 60; ++round) {
    const int which = bound >= 0 ? bound : static_cast<int>(check::Random(&random) % kArenas);
    Place& place = places[which];
    pthread_rwlock_rdlock(&place.in_use);
    if (bound < 0 && check::Random(&random) % 2 == 0) {
      CHECK(arenas::Bind(place.arena) == 0, "cannot bind the thread");
      bound = which;
    }
    for (int i = 0; i < 4; ++i) UseArena(place, bound >= 0, &random);
    pthread_rwlock_unlock(&place.in_use);
    // Meanwhile the arena may be reset.
    UseCommonHeap(&random);
    if (bound >= 0 && check::Random(&random) % 8 == 0) {
      CHECK(arenas::Bind(0) == 0, "cannot unbind the thread");
      bound = -1;
    }
  }
  return nullptr;
}

void* KeepWorking(void* seed) {
  for (uintptr_t i = 0; !__atomic_load_n(&done, __ATOMIC_RELAXED); ++i) {
    pthread_t thread;
    void* own_seed = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(seed) * 1000 + i);
    CHECK(pthread_create(&thread, nullptr, Work, own_seed) == 0, "cannot start a thread");
    pthread_join(thread, nullptr);
  }
  return nullptr;
}

void FreeAllAtOnce(Place& place, uint32_t random) {
  pthread_rwlock_wrlock(&place.in_use);
  if (random % 2 == 0 && arenas::Do(place.arena, "destroy") == 0) {
    place.arena = arenas::Create();
  } else {
    CHECK(arenas::Do(place.arena, "reset") == 0, "reset failed");
  }
  for (void*& block : place.shared) block = nullptr;
  pthread_rwlock_unlock(&place.in_use);
}

// The child has the arenas alone.
void Fork() {
  for (Place& place : places) pthread_rwlock_rdlock(&place.in_use);
  const pid_t child = fork();
  CHECK(child >= 0, "cannot fork");
  if (child != 0) {
    for (Place& place : places) pthread_rwlock_unlock(&place.in_use);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "the child failed: %x", status);
    return;
  }
  alarm(20);
  uint64_t random = 1;
  for (Place& place : places) {
    CHECK(arenas::Do(place.arena, "reset") == 0, "reset failed in the child");
    for (void*& block : place.shared) block = nullptr;
    CHECK(arenas::Bind(place.arena) == 0, "cannot bind the child");
    for (int i = 0; i < 10; ++i) UseArena(place, true, &random);
    CHECK(arenas::Bind(0) == 0, "cannot unbind the child");
    CHECK(arenas::Do(place.arena, "destroy") == 0, "destroy failed in the child");
  }
  _exit(0);
}

// What a cache holds counts as free, in the arena that it is of.
void* CountBlocks(void*) {
  const unsigned arena = places[0].arena;
  CHECK(arenas::Do(arena, "reset") == 0, "reset failed");
  CHECK(arenas::Bind(arena) == 0, "cannot bind the thread");
  arenas::Stat(arena, "small.allocated");  // what reading it takes is there from now on
  const uint64_t before = arenas::Stat(arena, "small.allocated");
  uint64_t frees = arenas::Stat(arena, "small.ndalloc");
  void* blocks[kBlocks];
  for (int round = 0; round < 10; ++round) {
    for (void*& block : blocks) block = malloc(64);
    CHECK(arenas::Stat(arena, "small.allocated") == before + kBlocks * 64, "%llu bytes allocated",
          static_cast<unsigned long long>(arenas::Stat(arena, "small.allocated") - before));
    for (void* block : blocks) free(block);
    CHECK(arenas::Stat(arena, "small.allocated") == before, "%llu bytes of freed blocks",
          static_cast<unsigned long long>(arenas::Stat(arena, "small.allocated") - before));
    CHECK(arenas::Stat(arena, "tcache_bytes") > 0, "nothing is cached");
    const uint64_t now_frees = arenas::Stat(arena, "small.ndalloc");
    CHECK(now_frees >= frees, "the count of frees went back");
    frees = now_frees;
  }
  CHECK(arenas::Do(arena, "reset") == 0, "reset failed");
  CHECK(arenas::Stat(arena, "small.allocated") == 0, "blocks live after a reset");
  CHECK(arenas::Stat(arena, "tcache_bytes") == 0, "blocks are cached after a reset");
  return nullptr;
}

}  // namespace

int main() {
  for (Place& place : places) place.arena = arenas::Create();
  pthread_t threads[kWorkers];
  for (uintptr_t i = 0; i < kWorkers; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, KeepWorking, reinterpret_cast<void*>(i + 1)) == 0,
          "cannot start a thread");
  }
  uint64_t random = 7;
  const uint64_t end = check::NowMs() + kSeconds * 1000;
  for (int round = 0; check::NowMs() < end; ++round) {
    FreeAllAtOnce(places[check::Random(&random) % kArenas], check::Random(&random));
    if (round % 64 == 0) Fork();
    if (round % 16 == 0) statistics::Read("stats.allocated");
    usleep(500);
  }
  __atomic_store_n(&done, true, __ATOMIC_RELAXED);
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  pthread_t counter;
  CHECK(pthread_create(&counter, nullptr, CountBlocks, nullptr) == 0, "cannot start a thread");
  pthread_join(counter, nullptr);
  for (Place& place : places) {
    CHECK(arenas::Do(place.arena, "destroy") == 0, "a thread that ended is bound");
  }
  return 0;
}
