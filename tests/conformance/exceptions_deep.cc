// SPDX-License-Identifier: Apache-2.0
//
// std::bad_alloc from operator new unwinds through deep frames with destructors, from containers,
// on several threads at once, and leaves no block behind.

#include <pthread.h>

#include <list>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "tests/override/check.h"

namespace {

int Dive(int depth, size_t size) {
  std::vector<char> local(static_cast<size_t>(depth) * 37 + 1, 'x');
  auto owned = std::make_unique<std::string>(1000, 'y');
  if (depth == 0) return check::Hide(::operator new(check::Hide(size))) != nullptr;
  return Dive(depth - 1, size) + local[0] + (*owned)[0];
}

int ThrowsThroughContainers(size_t size) {
  int caught = 0;
  std::list<std::string> names(50, std::string(100, 'n'));
  try {
    std::vector<char> impossible;
    impossible.reserve(size);
  } catch (const std::bad_alloc&) {
    ++caught;
  }
  try {
    char* array = check::Hide(new char[check::Hide(size)]);
    delete[] array;
  } catch (const std::bad_alloc&) {
    ++caught;
  }
  return caught;
}

void* Run(void*) {
  for (int round = 0; round < 500; ++round) {
    bool caught = false;
    try {
      Dive(60, PTRDIFF_MAX - 100);
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    CHECK(caught, "bad_alloc did not reach the outermost frame");
    CHECK(ThrowsThroughContainers(PTRDIFF_MAX - 4096) == 2, "a container lost bad_alloc");
  }
  return nullptr;
}

}  // namespace

int main() {
  pthread_t threads[4];
  for (pthread_t& thread : threads) {
    CHECK(pthread_create(&thread, nullptr, Run, nullptr) == 0, "cannot start a thread");
  }
  for (pthread_t& thread : threads) pthread_join(thread, nullptr);
  size_t resident = check::ResidentBytes();
  CHECK(resident < (64u << 20), "the unwound frames left %zu bytes", resident);
  return 0;
}
