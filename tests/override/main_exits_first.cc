// SPDX-License-Identifier: Apache-2.0
//
// The main thread ends by pthread_exit while others work on; they free its blocks, start threads,
// and the last of them ends the process by returning.

#include <pthread.h>

#include "tests/override/check.h"

namespace {

constexpr int kBlocks = 20000;
void* blocks[kBlocks];
pthread_t main_thread;

void* Late(void*) {
  void* block = malloc(5000);
  CHECK(block != nullptr, "no memory after main ended");
  memset(block, 1, 5000);
  return block;
}

void* Survive(void*) {
  pthread_join(main_thread, nullptr);
  for (int i = 0; i < kBlocks; ++i) {
    CHECK(check::Holds(blocks[i], static_cast<size_t>(i) % 900, i), "a block of main changed");
    free(blocks[i]);
  }
  for (int i = 0; i < kBlocks; ++i) {
    free(malloc(static_cast<size_t>(i) * 10));
  }
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, Late, nullptr) == 0, "cannot start a thread");
  void* block = nullptr;
  pthread_join(thread, &block);
  free(block);
  exit(0);
}

}  // namespace

int main() {
  alarm(20);
  main_thread = pthread_self();
  for (int i = 0; i < kBlocks; ++i) {
    blocks[i] = malloc(static_cast<size_t>(i) % 900);
    check::Fill(blocks[i], static_cast<size_t>(i) % 900, i);
  }
  pthread_t thread;
  CHECK(pthread_create(&thread, nullptr, Survive, nullptr) == 0, "cannot start a thread");
  pthread_exit(nullptr);
}
