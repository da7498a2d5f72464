// SPDX-License-Identifier: Apache-2.0
//
// A thread that is bound to an arena gets all of its blocks there, by whatever function it asks;
// whoever frees them, they go back there. The end of the thread unbinds it. A forked child has
// both.

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include <initializer_list>
#include <new>

#include "tests/override/arenas.h"

namespace {

unsigned arena;
constexpr int kBlocks = 2000;
void* blocks[kBlocks];

void ExpectIn(unsigned expected, void* block, const char* what) {
  CHECK(block != nullptr, "%s failed", what);
  CHECK(arenas::Of(block) == static_cast<int>(expected), "%s: arena %d, not %u", what,
        arenas::Of(block), expected);
}

// Blocks of every kind, all of them freed again but the one that is returned.
void* AllocateInAllWays(unsigned expected) {
  for (size_t size : {size_t{1}, size_t{100}, size_t{5000}, size_t{200000}, size_t{3} << 20}) {
    void* block = malloc(size);
    ExpectIn(expected, block, "malloc");
    block = realloc(block, size * 3);
    ExpectIn(expected, block, "realloc to more");
    block = realloc(block, size / 2 + 1);
    ExpectIn(expected, block, "realloc to less");
    free(block);
    char* zeros = static_cast<char*>(calloc(1, size));
    ExpectIn(expected, zeros, "calloc");
    for (size_t i = 0; i < size; ++i) CHECK(zeros[i] == 0, "calloc's block isn't zero");
    memset(zeros, 1, size);
    free(zeros);
    block = aligned_alloc(256, size);
    ExpectIn(expected, block, "aligned_alloc");
    CHECK(check::IsAligned(block, 256), "aligned_alloc's block isn't aligned");
    free(block);
    block = operator new(size);
    ExpectIn(expected, block, "new");
    operator delete(block, size);
  }
  return malloc(77);
}

void* Bound(void*) {
  void* before = malloc(50);
  ExpectIn(0, before, "malloc before");
  CHECK(arenas::Bind(arena) == 0, "cannot bind the thread");
  for (int round = 0; round < 20; ++round) free(AllocateInAllWays(arena));
  free(before);
  for (void*& block : blocks) block = malloc(32);
  CHECK(arenas::Stat(arena, "nthreads") == 1, "the thread isn't counted");
  CHECK(arenas::Do(arena, "destroy") != 0, "an arena with a thread was destroyed");
  return nullptr;
}

void Run(void* (*work)(void*)) {
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, work, nullptr) == 0, "cannot start a thread");
  pthread_join(thread, nullptr);
}

// Parent and child go on with the arena, and destroy it.
void ForkBound() {
  CHECK(arenas::Bind(arena) == 0, "cannot bind the thread");
  const pid_t child = fork();
  CHECK(child >= 0, "cannot fork");
  for (int round = 0; round < 3; ++round) free(AllocateInAllWays(arena));
  CHECK(arenas::Stat(arena, "nthreads") == 1, "%d threads", child == 0);
  CHECK(arenas::Bind(0) == 0, "cannot unbind the thread");
  free(AllocateInAllWays(0));
  CHECK(arenas::Do(arena, "destroy") == 0, "the arena can't be destroyed");
  if (child == 0) _exit(0);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "the child failed: %x", status);
}

// A thread that is bound, and isn't there in the child.
void* Bystander(void* go_on) {
  CHECK(arenas::Bind(arena) == 0, "cannot bind the thread");
  auto* locks = static_cast<pthread_mutex_t*>(go_on);
  pthread_mutex_unlock(&locks[0]);
  pthread_mutex_lock(&locks[1]);
  return nullptr;
}

}  // namespace

int main() {
  arena = arenas::Create();
  uint64_t left[2];
  for (uint64_t& bytes : left) {
    Run(Bound);
    CHECK(arenas::Stat(arena, "nthreads") == 0, "the thread that ended is counted");
    for (void* block : blocks) {
      ExpectIn(arena, block, "malloc of a thread that ended");
      free(block);
    }
    bytes = arenas::Stat(arena, "small.allocated");
  }
  // What the C library keeps from the first time on isn't ours to judge.
  CHECK(left[1] <= left[0] && left[0] < 4096, "%llu bytes of freed blocks are counted",
        static_cast<unsigned long long>(left[1]));

  pthread_mutex_t locks[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
  pthread_mutex_lock(&locks[0]);
  pthread_mutex_lock(&locks[1]);
  pthread_t bystander;
  CHECK(pthread_create(&bystander, nullptr, Bystander, locks) == 0, "cannot start a thread");
  pthread_mutex_lock(&locks[0]);
  const pid_t child = fork();
  if (child == 0) {
    CHECK(arenas::Do(arena, "destroy") == 0, "a thread that isn't here is counted");
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "the child failed: %x", status);
  CHECK(arenas::Do(arena, "destroy") != 0, "an arena with a thread was destroyed");
  pthread_mutex_unlock(&locks[1]);
  pthread_join(bystander, nullptr);
  ForkBound();
  return 0;
}
