// SPDX-License-Identifier: Apache-2.0
//
// What the tests of mallctl's names share: a Control over a real heap and a fake entry floor, which
// notes what it was asked to do, and readers and writers of names.
#ifndef SPANMALLOC_TESTS_CONTROL_CONTROL_TEST_H_
#define SPANMALLOC_TESTS_CONTROL_CONTROL_TEST_H_

#include <errno.h>

#include <memory>
#include <string>
#include <vector>

#include "allocator/control/control.h"
#include "allocator/control/mallctl.h"
#include "gtest/gtest.h"
#include "tests/control/mallctl_names.h"
#include "tests/telemetry/test_heap.h"

namespace spanmalloc {

// What the entry floor was asked to do.
struct Calls {
  bool initializes = true;
  bool inside = false;  // a thread is inside the allocator already
  bool cache_enabled = true;
  ArenaSet* arenas = nullptr;
  unsigned thread_arena = 0;
  std::vector<unsigned> purged;  // arenas
  int flushes = 0;
  int purges = 0;
  int64_t decay_ms = 0;
  unsigned caches = 3;
  size_t own_objects = 0;  // in the calling thread's cache, of class 5
  std::vector<unsigned> flushed_caches;
  std::vector<unsigned> destroyed_caches;
};

inline Calls& calls() {
  static Calls calls;
  return calls;
}

inline ControlTarget FakeTarget(TestHeap& heap, const Options& options) {
  return {
      .sources = heap.sources(),
      .options = options,
      .initialize = [] { return calls().initializes; },
      .run_inside =
          [](void (*work)(void*), void* argument) {
            if (calls().inside) return false;
            calls().inside = true;
            work(argument);
            calls().inside = false;
            return true;
          },
      .flush_thread_cache = [] { ++calls().flushes; },
      .thread_cache_enabled = [] { return calls().cache_enabled; },
      .enable_thread_cache =
          [](bool enabled) {
            calls().cache_enabled = enabled;
            return true;
          },
      .thread_counts =
          [] {
            static ThreadCounts counts;
            return &counts;
          },
      .thread_cache_depth =
          [](size_t* objects, size_t* limits) {
            objects[5] += calls().own_objects;
            limits[5] += 2 * calls().own_objects;
          },
      .purge =
          [] {
            ++calls().purges;
            return size_t{0};
          },
      .purge_arena = [](unsigned index) { calls().purged.push_back(index); },
      .set_dirty_decay_ms = [](int64_t ms) { calls().decay_ms = ms; },
      .arena_count = [] { return calls().arenas->end(); },
      .arena_initialized = [](unsigned index) { return calls().arenas->Exists(index); },
      .arena_create =
          [](const ArenaSettings& settings, unsigned* index) {
            return calls().arenas->Create(settings, index) ? 0 : EAGAIN;
          },
      .arena_destroy = [](unsigned index) { return calls().arenas->Destroy(index) ? 0 : EFAULT; },
      .arena_reset = [](unsigned index) { return calls().arenas->Reset(index) ? 0 : EFAULT; },
      .thread_arena = [] { return calls().thread_arena; },
      .set_thread_arena =
          [](unsigned index) {
            calls().thread_arena = index;
            return 0;
          },
      .cache_create =
          [](unsigned* index) {
            *index = calls().caches++;
            return 0;
          },
      .cache_flush =
          [](unsigned index) {
            calls().flushed_caches.push_back(index);
            return index < calls().caches ? 0 : EFAULT;
          },
      .cache_destroy =
          [](unsigned index) {
            calls().destroyed_caches.push_back(index);
            return index < calls().caches ? 0 : EFAULT;
          },
  };
}

class ControlTest : public ::testing::Test, protected MallctlNames {
 protected:
  ControlTest() : MallctlNames(control_) {
    calls() = Calls();
    calls().arenas = &heap_->arenas;
  }

  std::unique_ptr<TestHeap> heap_ = std::make_unique<TestHeap>();
  Options options_;
  ControlNumbers numbers_;
  Control control_{FakeTarget(*heap_, options_), numbers_};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_CONTROL_CONTROL_TEST_H_
