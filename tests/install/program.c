// SPDX-License-Identifier: Apache-2.0
//
// A C program that link_test.py links with the library: threads that free each other's blocks, a
// fork in their midst, libc's own use of malloc, and the heap's account of itself. It prints "ok".

#include <malloc.h>
#include <pthread.h>
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

enum { kThreads = 4, kSlots = 64, kRounds = 20000, kBlocks = 1000, kBlockSize = 1000 };

// Not in this C library: a program that links has the library's.
void free_sized(void* block, size_t size);

static _Atomic(char*) slots[kSlots];

// Each exchange frees a block that any of the threads may have allocated.
static void* Exchange(void* seed_pointer) {
  unsigned seed = (unsigned)(size_t)seed_pointer;
  for (int round = 0; round < kRounds; ++round) {
    seed = seed * 1103515245u + 12345u;
    size_t size = 16 + (seed >> 16) % 3000;
    char* block = malloc(size);
    CHECK(block != NULL);
    memset(block, (int)(size & 0x7f), 16);
    char* old = __atomic_exchange_n((char**)&slots[seed % kSlots], block, __ATOMIC_ACQ_REL);
    if (old != NULL) CHECK(old[0] == old[15]);
    free(old);
  }
  return NULL;
}

static void RunThreadsAndFork(void) {
  pthread_t threads[kThreads];
  for (size_t i = 0; i < kThreads; ++i) {
    CHECK(pthread_create(&threads[i], NULL, Exchange, (void*)(i + 1)) == 0);
  }
  for (int i = 0; i < 10; ++i) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      Exchange((void*)(size_t)99);
      _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < kSlots; ++i) free(slots[i]);
}

static void CheckAccount(void) {
  static char* blocks[kBlocks];
  size_t before = mallinfo2().uordblks;
  for (int i = 0; i < kBlocks; ++i) blocks[i] = malloc(kBlockSize);
  size_t with_blocks = mallinfo2().uordblks;
  CHECK(with_blocks >= before + (size_t)kBlocks * kBlockSize);
  for (int i = 0; i < kBlocks; ++i) free_sized(blocks[i], kBlockSize);
  CHECK(mallinfo2().uordblks <= with_blocks - (size_t)kBlocks * kBlockSize);
}

int main(void) {
  RunThreadsAndFork();
  CheckAccount();
  char* text = NULL;
  size_t size = 0;
  FILE* stream = open_memstream(&text, &size);
  CHECK(stream != NULL && fprintf(stream, "%.200f", 1.0 / 3) > 200 && fclose(stream) == 0);
  CHECK(malloc_usable_size(text) > size);
  text = realloc(text, 1 << 20);
  CHECK(text != NULL && strncmp(text, "0.333", 5) == 0);
  free(text);
  puts("ok");
  return 0;
}
