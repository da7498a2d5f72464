// SPDX-License-Identifier: Apache-2.0
//
// The library that dlopened_client.cc loads and unloads: a client of the heap with a constructor, a
// destructor, a thread_local and blocks that cross its border both ways.

#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

namespace {

std::vector<std::string> table(100, std::string(200, 't'));

struct Local {
  char* text = strdup("a thread's own text, long enough to be on the heap");
  ~Local() { free(text); }
};
thread_local Local local;

}  // namespace

extern "C" {

__attribute__((visibility("default"))) char* PluginAllocate(size_t size) {
  table[size % table.size()].assign(size % 500, 'u');
  char* block = static_cast<char*>(malloc(size));
  if (block != nullptr) memset(block, 'p', size);
  return block;
}

__attribute__((visibility("default"))) void PluginFree(void* block) { free(block); }

// For threads that end before dlclose: a pending thread_local destructor would keep the library.
__attribute__((visibility("default"))) size_t PluginUseThreadLocal() { return strlen(local.text); }

__attribute__((visibility("default"))) std::string* PluginNewString() {
  return new std::string(300, 's');
}
}
