// SPDX-License-Identifier: Apache-2.0
//
// No mixed heaps: whatever a function of the C library hands out for the caller to free, and every
// allocating symbol glibc has, comes from the same heap as malloc and can be freed and reallocated.

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <malloc.h>
#include <wchar.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

// Freed through free or grown through realloc in turn: each would fail on a foreign block.
void Consume(const char* name, void* block) {
  static int turn;
  CHECK(block != nullptr, "%s returned NULL", name);
  CHECK(malloc_usable_size(block) > 0, "%s: usable size 0", name);
  if (++turn % 2 == 0) {
    block = realloc(block, 3000);
    CHECK(block != nullptr, "%s: realloc failed", name);
  }
  free(block);
}

template <typename Function>
Function Find(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

void ConsumeFromLibrary() {
  char* text = nullptr;
  size_t size = 0;
  Consume("strdup", strdup("a text"));
  Consume("strndup", strndup("a text", 3));
  Consume("wcsdup", wcsdup(L"a text"));
  CHECK(asprintf(&text, "%d %s", 1, "text") > 0, "asprintf failed");
  Consume("asprintf", text);
  FILE* file = fopen("/proc/self/status", "r");
  text = nullptr;
  CHECK(getline(&text, &size, file) > 0, "getline failed");
  Consume("getline", text);
  text = static_cast<char*>(malloc(1));  // too small: getline must grow our block
  size = 1;
  CHECK(getdelim(&text, &size, ' ', file) > 0, "getdelim failed");
  Consume("getdelim", text);
  fclose(file);
  file = open_memstream(&text, &size);
  for (int i = 0; i < 5000; ++i) fprintf(file, "%d ", i);
  fclose(file);
  Consume("open_memstream", text);
  Consume("realpath", realpath("/", nullptr));
  Consume("getcwd", getcwd(nullptr, 0));
  Consume("get_current_dir_name", get_current_dir_name());
  dirent** entries = nullptr;
  int count = scandir("/", &entries, nullptr, alphasort);
  CHECK(count > 0, "scandir failed");
  for (int i = 0; i < count; ++i) Consume("scandir's entry", entries[i]);
  Consume("scandir", entries);
}

}  // namespace

int main() {
  for (int round = 0; round < 50; ++round) {
    Consume("malloc", malloc(1000));
    Consume("calloc", calloc(10, 100));
    Consume("realloc", realloc(nullptr, 1000));
    Consume("reallocarray", reallocarray(nullptr, 10, 100));
    Consume("memalign", memalign(64, 1000));
    Consume("aligned_alloc", aligned_alloc(64, 1024));
    Consume("valloc", valloc(1000));
    Consume("pvalloc", pvalloc(1000));
    void* block = nullptr;
    CHECK(posix_memalign(&block, 64, 1000) == 0, "posix_memalign failed");
    Consume("posix_memalign", block);
    for (const char* name : {"__libc_malloc", "__libc_valloc", "__libc_pvalloc"}) {
      if (auto entry = Find<void* (*)(size_t)>(name)) Consume(name, entry(1000));
    }
    for (const char* name : {"__libc_calloc", "__libc_memalign"}) {
      if (auto entry = Find<void* (*)(size_t, size_t)>(name)) Consume(name, entry(64, 1000));
    }
    if (auto entry = Find<void* (*)(void*, size_t)>("__libc_realloc")) {
      Consume("__libc_realloc(NULL)", entry(nullptr, 1000));
      Consume("__libc_realloc", entry(malloc(10), 1000));
    }
    for (const char* name : {"__libc_free", "cfree"}) {
      if (auto entry = Find<void (*)(void*)>(name)) entry(malloc(1000));
    }
    ConsumeFromLibrary();
  }
  return 0;
}
