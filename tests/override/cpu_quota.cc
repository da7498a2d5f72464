// SPDX-License-Identifier: Apache-2.0
//
// Inside a cgroup that may use one CPU's time, threads that run on several CPUs of a NUMA node
// share one set of central free lists. (Asked of the library itself, by mallctl; elsewhere the
// program only works.)

#include <dlfcn.h>
#include <pthread.h>

#include "tests/override/cgroup.h"
#include "tests/override/check.h"

namespace {

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);

void* Work(void* argument) {
  uint64_t random = reinterpret_cast<uintptr_t>(argument);
  static thread_local void* blocks[2000];
  for (int round = 0; round < 300; ++round) {
    for (void*& block : blocks) {
      block = malloc(1 + check::Random(&random) % 1000);
      CHECK(block != nullptr, "malloc failed in the cgroup");
    }
    for (void* block : blocks) free(block);
  }
  return nullptr;
}

void WorkOnThreads(int count) {
  pthread_t threads[3];
  for (int i = 0; i < count; ++i) {
    CHECK(pthread_create(&threads[i], nullptr, Work, reinterpret_cast<void*>(i + 1l)) == 0,
          "cannot start a thread");
  }
  for (int i = 0; i < count; ++i) pthread_join(threads[i], nullptr);
}

int RunInside() {
  // The second thread of the process reads the quota; others don't wait for it.
  WorkOnThreads(1);
  WorkOnThreads(3);
  auto mallctl = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mallctl"));
  uint64_t epoch = 1;
  size_t shards = 1;
  size_t nodes = 1;
  size_t length = sizeof(shards);
  if (mallctl != nullptr) mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch));
  if (mallctl != nullptr) mallctl("spanmalloc.shards", &shards, &length, nullptr, 0);
  if (mallctl != nullptr) mallctl("spanmalloc.nodes", &nodes, &length, nullptr, 0);
  CHECK(shards <= nodes, "%zu sets of central free lists for one CPU's time", shards);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunInside();
  const check::Cgroup group("cpu");
  if (!group.Write("cpu.cfs_quota_us", "100000\n") && !group.Write("cpu.max", "100000 100000\n")) {
    group.Remove();
    SKIP("the cgroup takes no CPU quota");
  }
  return group.RunInside(argv[0]);
}
