// SPDX-License-Identifier: Apache-2.0
//
// More threads than may have caches, on one CPU, each of which works for a moment and lets the next
// one work: all of them share the CPU's cache, also those that had caches of their own. One that
// works for long gets one again. No block is given out twice meanwhile.

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

#include "tests/override/check.h"
#include "tests/override/limits.h"

namespace {

constexpr int kThreads = 6;  // beside the main thread; two threads may have caches
constexpr int kShortTurns = 50;
constexpr int kBlocks = 64;
constexpr size_t kSize = 1000;
constexpr int kMany = 8000;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t passed = PTHREAD_COND_INITIALIZER;
int whose = 0;
unsigned char* handed[kThreads][kBlocks];

size_t sharing_at_first = 0;
size_t sharing_in_turns = 0;
size_t sharing_at_last = 0;

size_t Sharing() { return check::Statistic("spanmalloc.sharing_threads"); }

void Await(int thread) {
  pthread_mutex_lock(&mutex);
  while (whose != thread) pthread_cond_wait(&passed, &mutex);
  pthread_mutex_unlock(&mutex);
}

void PassOn() {
  pthread_mutex_lock(&mutex);
  whose = (whose + 1) % kThreads;
  pthread_cond_broadcast(&passed);
  pthread_mutex_unlock(&mutex);
}

// Every other thread allocates, and the next one frees, so that all of them miss.
void WorkForAMoment(int thread) {
  for (int i = 0; i < kBlocks; ++i) {
    if (thread % 2 == 0) {
      handed[thread][i] = static_cast<unsigned char*>(malloc(kSize));
      CHECK(handed[thread][i] != nullptr, "malloc failed");
      check::Fill(handed[thread][i], kSize, i);
    } else {
      CHECK(check::Holds(handed[thread - 1][i], kSize, i), "a block changed");
      free(handed[thread - 1][i]);
    }
  }
}

void WorkForLong() {
  static unsigned char* blocks[kMany];
  for (int i = 0; i < kMany; ++i) {
    blocks[i] = static_cast<unsigned char*>(malloc(kSize));
    CHECK(blocks[i] != nullptr, "malloc failed");
    check::Fill(blocks[i], kSize, i);
  }
  for (int i = 0; i < kMany; ++i) {
    CHECK(check::Holds(blocks[i], kSize, i), "a block changed");
    free(blocks[i]);
  }
}

void* Run(void* argument) {
  const int thread = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  for (int turn = 0; turn < kShortTurns; ++turn) {
    Await(thread);
    WorkForAMoment(thread);
    if (thread == kThreads - 1 && turn == 0) sharing_at_first = Sharing();
    PassOn();
  }
  Await(thread);
  if (thread == 0) {
    sharing_in_turns = Sharing();
    WorkForLong();
    sharing_at_last = Sharing();
  }
  PassOn();
  return nullptr;
}

}  // namespace

int main(int, char** argv) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  if (sched_setaffinity(0, sizeof(one), &one) != 0) SKIP("no affinity");
  check::RunAgainWith(argv, "SPANMALLOC_CONF", "thread_caches_per_cpu:2");
  CHECK(dlsym(RTLD_DEFAULT, "mallctl") != nullptr, "no mallctl");
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, &Run, reinterpret_cast<void*>(i)) == 0,
          "pthread_create failed");
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  if (sharing_at_first == 0) SKIP("threads don't share here");
  CHECK(sharing_at_first == kThreads - 1, "%zu threads share at first", sharing_at_first);
  CHECK(sharing_in_turns == kThreads, "%zu threads share in turns", sharing_in_turns);
  CHECK(sharing_at_last == kThreads - 1, "%zu threads share at last", sharing_at_last);
  return 0;
}
