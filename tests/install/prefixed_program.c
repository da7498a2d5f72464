// SPDX-License-Identifier: Apache-2.0
//
// Three allocators in one process: je_malloc, my_malloc and whatever malloc is. Threads use all of
// them at once, a fork happens in their midst; each knows its own blocks only and reads its own
// settings. It prints "ok". prefixed_test.py builds and runs it.

#include <je_spanmalloc.h>
#include <my_spanmalloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                           \
  do {                                                             \
    if (!(condition)) {                                            \
      printf("line %d: %s does not hold\n", __LINE__, #condition); \
      exit(1);                                                     \
    }                                                              \
  } while (0)

enum { kThreads = 4, kBlocks = 300, kRounds = 8, kKept = 2000, kKeptSize = 1000 };

const char* je_malloc_conf = "dirty_decay_ms:111";

// Fills a block in a way that depends on its address, and checks that it's still so.
static void Fill(void* block, size_t size) { memset(block, (int)((uintptr_t)block >> 4), size); }
static void Check(const void* block, size_t size) {
  const unsigned char* bytes = block;
  CHECK(bytes[0] == (unsigned char)((uintptr_t)block >> 4));
  CHECK(bytes[size - 1] == bytes[0]);
}

static void* Use(void* unused) {
  (void)unused;
  static __thread void* blocks[3][kBlocks];
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kBlocks; ++i) {
      const size_t size = 1 + i * (i % 7 == 0 ? 700 : 13);
      blocks[0][i] = malloc(size);
      blocks[1][i] = je_malloc(size);
      blocks[2][i] = my_realloc(NULL, size);
      for (int j = 0; j < 3; ++j) Fill(blocks[j][i], size);
    }
    for (size_t i = 0; i < kBlocks; ++i) {
      const size_t size = 1 + i * (i % 7 == 0 ? 700 : 13);
      for (int j = 0; j < 3; ++j) Check(blocks[j][i], size);
      free(blocks[0][i]);
      je_free_sized(blocks[1][i], size);
      my_dallocx(blocks[2][i], 0);
    }
  }
  return unused;
}

static void UseFromThreadsAndForks(void) {
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) CHECK(pthread_create(&threads[i], NULL, Use, NULL) == 0);
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      Use(NULL);
      _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
}

typedef int Mallctl(const char*, void*, size_t*, void*, size_t);

static size_t Allocated(Mallctl* mallctl) {
  uint64_t epoch = 1;
  size_t allocated = 0;
  size_t size = sizeof(allocated);
  CHECK(mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) == 0);
  CHECK(mallctl("stats.allocated", &allocated, &size, NULL, 0) == 0);
  return allocated;
}

static ssize_t Decay(Mallctl* mallctl) {
  ssize_t decay = 0;
  size_t size = sizeof(decay);
  CHECK(mallctl("opt.dirty_decay_ms", &decay, &size, NULL, 0) == 0);
  return decay;
}

static void CheckThatEachCountsItsOwn(void) {
  static void* blocks[kKept];
  const size_t je = Allocated(&je_mallctl);
  const size_t my = Allocated(&my_mallctl);
  for (int i = 0; i < kKept; ++i) blocks[i] = je_malloc(kKeptSize);
  CHECK(Allocated(&je_mallctl) >= je + (size_t)kKept * kKeptSize);
  CHECK(Allocated(&my_mallctl) == my);
  for (int i = 0; i < kKept; ++i) je_free(blocks[i]);
  CHECK(Allocated(&je_mallctl) == je);
}

// So that neither is in the way when the other grows.
static void CheckThatTheHeapsLieApart(void) {
  void* je = je_malloc(1 << 20);
  void* my = my_malloc(1 << 20);
  const intptr_t distance = (intptr_t)je - (intptr_t)my;
  CHECK(distance > (64 << 20) || distance < -(64 << 20));
  je_free(je);
  my_free(my);
}

// Types and inline functions of the headers.
static void CheckRegions(void) {
  je_spanmalloc_region* je = je_spanmalloc_region_create(1 << 20, JE_SPANMALLOC_REGION_SHARED);
  my_spanmalloc_region* my = my_spanmalloc_region_create(1 << 20, 0);
  memset(je_spanmalloc_region_allocate(je, 1000, 8), 1, 1000);
  memset(my_spanmalloc_region_allocate(my, 1000, 64), 2, 1000);
  je_spanmalloc_region_destroy(je);
  my_spanmalloc_region_destroy(my);
}

int main(void) {
  CheckThatTheHeapsLieApart();
  CheckRegions();
  CHECK(Decay(&je_mallctl) == 111);   // the program's
  CHECK(Decay(&my_mallctl) == 2222);  // MY_MALLOC_CONF's
  UseFromThreadsAndForks();
  CheckThatEachCountsItsOwn();
  puts("ok");
  return 0;
}
