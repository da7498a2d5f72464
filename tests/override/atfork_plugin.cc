// SPDX-License-Identifier: Apache-2.0
//
// A library that atfork_handlers.cc preloads: its constructor runs before the program's, and
// registers fork handlers that allocate and free, as tracing and database libraries do.

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

namespace {

void* kept;

void AllocateInHandler() {
  for (size_t size = 8; size < 2000000; size *= 5) {
    void* block = malloc(size);
    if (block == nullptr) abort();
    memset(block, 1, size < 4096 ? size : 4096);
    free(kept);
    kept = block;
  }
}

__attribute__((constructor)) void Register() {
  pthread_atfork(AllocateInHandler, AllocateInHandler, AllocateInHandler);
}

}  // namespace

// Lets the program see that the library is there.
extern "C" __attribute__((visibility("default"))) int atfork_plugin_loaded() { return 1; }
