// SPDX-License-Identifier: Apache-2.0
//
// A C++ program that link_test.py links with the library: operator new in its plain, aligned and
// throwing forms, containers, exceptions and threads, static objects included. It prints "ok".

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// Not in this C library: a program that links has the library's.
extern "C" void free_sized(void* block, std::size_t size);

namespace {

std::map<int, std::string> static_map = {{1, std::string(100, 'a')}, {2, std::string(3000, 'b')}};

struct alignas(256) Aligned {
  char bytes[512];
};

void Check(bool condition, const char* what) {
  if (condition) return;
  std::printf("failed: %s\n", what);
  std::exit(1);
}

void Work(int seed) {
  std::map<int, std::vector<std::string>> map;
  for (int i = 0; i < 20000; ++i) map[i % 97].emplace_back((i * seed) % 500, 'x');
  for (int i = 0; i < 1000; ++i) {
    try {
      throw std::runtime_error(std::string(i, 'e'));
    } catch (const std::exception& error) {
      Check(std::string(error.what()).size() == static_cast<std::size_t>(i), "message");
    }
  }
}

}  // namespace

int main() {
  Check(static_map[2].size() == 3000, "static object");
  std::vector<std::thread> threads;
  for (int seed = 1; seed <= 4; ++seed) threads.emplace_back(Work, seed);
  for (std::thread& thread : threads) thread.join();

  std::vector<std::unique_ptr<Aligned>> aligned;
  for (int i = 0; i < 100; ++i) {
    aligned.push_back(std::make_unique<Aligned>());
    Check(reinterpret_cast<std::uintptr_t>(aligned.back().get()) % 256 == 0, "alignment");
  }
  volatile std::size_t impossible = std::numeric_limits<std::ptrdiff_t>::max();
  bool thrown = false;
  try {
    ::operator delete(::operator new(impossible));
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  Check(thrown, "bad_alloc");
  free_sized(std::malloc(300), 300);
  std::puts("ok");
  return 0;
}
