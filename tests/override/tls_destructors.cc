// SPDX-License-Identifier: Apache-2.0
//
// pthread keys and C++ thread_locals whose destructors allocate, free and set their key again, up
// to the last of PTHREAD_DESTRUCTOR_ITERATIONS rounds: after the allocator's own cleanup of the
// thread as well. It works in every round, and thousands of such threads leak nothing.

#include <limits.h>
#include <pthread.h>

#include <string>
#include <vector>

#include "tests/override/check.h"

namespace {

constexpr int kKeys = 40;
pthread_key_t keys[kKeys];

struct Value {
  int rounds;
  int key;
  void* block;
};

void Use(size_t size) {
  void* blocks[60];
  for (int i = 0; i < 60; ++i) {
    blocks[i] = malloc(size + static_cast<size_t>(i) * 40);
    CHECK(blocks[i] != nullptr, "no memory in a destructor");
    memset(blocks[i], 1, size);
  }
  for (void* block : blocks) free(block);
}

void Destroy(void* argument) {
  Value* old = static_cast<Value*>(argument);
  CHECK(check::Holds(old->block, 500, 8), "a block changed before its destructor");
  Use(static_cast<size_t>(old->rounds) * 100 + 1);
  free(old->block);
  if (old->rounds < PTHREAD_DESTRUCTOR_ITERATIONS - 1) {
    Value* next = static_cast<Value*>(malloc(sizeof(Value)));
    *next = {old->rounds + 1, old->key, malloc(500)};
    check::Fill(next->block, 500, 8);
    pthread_setspecific(keys[old->key], next);
  }
  free(old);
}

struct Local {
  std::vector<std::string> strings{std::vector<std::string>(20, std::string(100, 'a'))};
  void* large = malloc(150000);
  ~Local() {
    strings.emplace_back(2000, 'b');
    Use(300);
    free(large);
  }
};
thread_local Local local;

void* Live(void*) {
  local.strings.emplace_back(1000, 'c');
  for (int key = 0; key < kKeys; ++key) {
    Value* value = static_cast<Value*>(malloc(sizeof(Value)));
    *value = {0, key, malloc(500)};
    check::Fill(value->block, 500, 8);
    pthread_setspecific(keys[key], value);
  }
  return nullptr;
}

}  // namespace

int main() {
  // The allocator may have made its key before main: these destructors run around it.
  for (pthread_key_t& key : keys) {
    CHECK(pthread_key_create(&key, Destroy) == 0, "cannot create a key");
  }
  size_t before = 0;
  for (int number = 0; number < 3000; ++number) {
    pthread_t thread;
    CHECK(pthread_create(&thread, nullptr, Live, nullptr) == 0, "cannot start a thread");
    pthread_join(thread, nullptr);
    if (number == 300) before = check::ResidentBytes();
  }
  size_t after = check::ResidentBytes();
  // A cache made anew in the last round and left behind would cost 2700 times its size.
  CHECK(after < before + (4u << 20), "resident memory grew from %zu to %zu", before, after);
  return 0;
}
