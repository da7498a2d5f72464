// SPDX-License-Identifier: Apache-2.0
//
// A library loaded with dlopen (also RTLD_LOCAL) uses the program's heap: blocks made on one side
// are freed on the other, outlive its dlclose, and loading it many times leaks nothing.

#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>

#include <string>

#include "tests/override/check.h"

namespace {

using Allocate = char* (*)(size_t);
using Free = void (*)(void*);
using NewString = std::string* (*)();
Allocate plugin_allocate;
size_t (*plugin_use_thread_local)();

void* UseOnThread(void*) {
  char* block = plugin_allocate(3000);
  CHECK(block != nullptr && block[2999] == 'p', "the plugin's block is wrong on a thread");
  free(block);
  CHECK(plugin_use_thread_local() > 10, "the plugin's thread_local is wrong");
  return nullptr;
}

}  // namespace

int main() {
  char program[512] = {};
  CHECK(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0, "no /proc/self/exe");
  std::string path = std::string(dirname(program)) + "/client_plugin.so";
  size_t before = 0;
  for (int round = 0; round < 200; ++round) {
    void* library = dlopen(path.c_str(), round % 2 == 0 ? RTLD_NOW | RTLD_LOCAL : RTLD_LAZY);
    CHECK(library != nullptr, "%s", dlerror());
    plugin_allocate = reinterpret_cast<Allocate>(dlsym(library, "PluginAllocate"));
    plugin_use_thread_local =
        reinterpret_cast<size_t (*)()>(dlsym(library, "PluginUseThreadLocal"));
    auto plugin_free = reinterpret_cast<Free>(dlsym(library, "PluginFree"));
    auto plugin_new_string = reinterpret_cast<NewString>(dlsym(library, "PluginNewString"));
    char* blocks[300];
    for (int i = 0; i < 300; ++i) {
      blocks[i] = i % 2 == 0 ? plugin_allocate(static_cast<size_t>(i) * 100 + 1)
                             : static_cast<char*>(malloc(static_cast<size_t>(i) * 100));
    }
    for (int i = 0; i < 200; ++i) {
      if (i % 3 == 0) {
        free(blocks[i]);
      } else {
        plugin_free(blocks[i]);
      }
    }
    std::string* text = plugin_new_string();
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, UseOnThread, nullptr) == 0, "cannot start a thread");
    pthread_join(thread, nullptr);
    CHECK(dlclose(library) == 0, "%s", dlerror());
    CHECK(dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr, "the plugin stays loaded");
    for (int i = 200; i < 300; ++i) free(blocks[i]);
    CHECK(text->size() == 300 && (*text)[299] == 's', "a string changed after dlclose");
    delete text;
    if (round == 20) before = check::ResidentBytes();
  }
  size_t after = check::ResidentBytes();
  CHECK(after < before + (8u << 20), "resident memory grew from %zu to %zu", before, after);
  return 0;
}
