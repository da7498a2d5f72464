// SPDX-License-Identifier: Apache-2.0
//
// malloc and free are called by an IFUNC resolver of the program, while the loader still processes
// relocations. Thread-local storage is there but its initial image is not: every thread_local reads
// as zero, and is overwritten when relocation ends. The block made then stays whole and can be
// freed, and the heap works afterwards.

#include "tests/override/check.h"

namespace {

char* from_resolver;

int Answer() { return 42; }

}  // namespace

extern "C" {

__attribute__((visibility("hidden"))) int (*ResolveAnswer())() {
  // Data of the program is relocated before its resolvers run.
  void* (*volatile allocate)(size_t) = &malloc;
  void (*volatile release)(void*) = &free;
  for (size_t size = 1; size < 100000; size *= 3) {
    void* block = allocate(size);
    if (block == nullptr) abort();
    release(block);
  }
  from_resolver = static_cast<char*>(allocate(3000));
  for (int i = 0; i < 3000; ++i) from_resolver[i] = static_cast<char>(i);
  return &Answer;
}

int ResolvedAnswer() __attribute__((ifunc("ResolveAnswer")));
}

int main() {
  CHECK(ResolvedAnswer() == 42, "the function is resolved wrongly");
  for (int round = 0; round < 100; ++round) {
    void* block = malloc(3000);
    CHECK(block != nullptr && block != from_resolver, "the resolver's block was handed out again");
    memset(block, 1, 3000);
    for (int i = 0; i < 3000; ++i) {
      CHECK(from_resolver[i] == static_cast<char>(i), "the resolver's block changed");
    }
    if (round % 2 == 0) free(block);
  }
  free(from_resolver);
  return 0;
}
