// SPDX-License-Identifier: Apache-2.0
//
// The allocator's library is loaded with dlopen into a running process which has another malloc and
// eight other users of static thread-local storage; its malloc is used by name from old and new
// threads, and dlclose leaves the process able to go on.

#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>

#include <string>

#include "tests/override/check.h"

namespace {

using Malloc = void* (*)(size_t);
using Free = void (*)(void*);
Malloc late_malloc;
Free late_free;

void* Use(void*) {
  void* blocks[500];
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 500; ++i) {
      size_t size = static_cast<size_t>(i) * 41 + 1;
      blocks[i] = late_malloc(size);
      CHECK(blocks[i] != nullptr, "the late malloc(%zu) failed", size);
      check::Fill(blocks[i], size, i);
    }
    for (int i = 0; i < 500; ++i) {
      CHECK(check::Holds(blocks[i], static_cast<size_t>(i) * 41 + 1, i), "a late block changed");
      late_free(blocks[i]);
    }
  }
  return nullptr;
}

void* UseWhenTold(void* barrier) {
  pthread_barrier_wait(static_cast<pthread_barrier_t*>(barrier));
  return Use(nullptr);
}

void LoadTlsUsers(const std::string& folder) {
  char scratch[] = "/tmp/late_dlopen_XXXXXX";
  CHECK(mkdtemp(scratch) != nullptr, "cannot make a folder");
  for (int i = 0; i < 8; ++i) {  // copies: the loader takes one file for one library
    std::string copy = std::string(scratch) + "/tls_plugin_" + std::to_string(i) + ".so";
    std::string command = "cp '" + folder + "/tls_plugin.so' '" + copy + "'";
    CHECK(system(command.c_str()) == 0, "cannot copy tls_plugin.so");
    CHECK(dlopen(copy.c_str(), RTLD_NOW) != nullptr, "%s", dlerror());
    unlink(copy.c_str());
  }
  rmdir(scratch);
}

}  // namespace

int main(int, char** argv) {
  const char* library_path = getenv("TEST_LIBRARY");
  if (library_path == nullptr) SKIP("no library to load");
  check::RunAgainWith(argv, "LD_PRELOAD", nullptr);
  char program[512] = {};
  CHECK(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0, "no /proc/self/exe");
  LoadTlsUsers(dirname(program));

  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  pthread_t old_thread;  // exists before the library's thread-local storage does
  CHECK(pthread_create(&old_thread, nullptr, UseWhenTold, &barrier) == 0, "cannot start a thread");
  void* library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
  CHECK(library != nullptr, "%s", dlerror());
  late_malloc = reinterpret_cast<Malloc>(dlsym(library, "malloc"));
  late_free = reinterpret_cast<Free>(dlsym(library, "free"));
  CHECK(late_malloc != nullptr && late_free != nullptr, "no malloc in the library");
  CHECK(late_malloc != &malloc, "the late library serves the whole process");
  Use(nullptr);
  pthread_barrier_wait(&barrier);
  pthread_join(old_thread, nullptr);
  pthread_t young_thread;
  CHECK(pthread_create(&young_thread, nullptr, Use, nullptr) == 0, "cannot start a thread");
  pthread_join(young_thread, nullptr);

  dlclose(library);
  pthread_t last_thread;  // ends after dlclose: no destructor of the library may be missing
  CHECK(pthread_create(
            &last_thread, nullptr, [](void*) -> void* { return malloc(10); }, nullptr) == 0,
        "cannot start a thread");
  void* block = nullptr;
  pthread_join(last_thread, &block);
  free(block);
  return 0;
}
