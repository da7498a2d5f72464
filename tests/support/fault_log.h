// SPDX-License-Identifier: Apache-2.0
//
// A FaultReporter that keeps what it is told instead of ending the process. One log for the whole
// test program, since a reporter is a plain function; each test clears it first.
#ifndef SPANMALLOC_TESTS_SUPPORT_FAULT_LOG_H_
#define SPANMALLOC_TESTS_SUPPORT_FAULT_LOG_H_

#include <mutex>
#include <vector>

#include "allocator/heap/bad_pointer.h"

namespace spanmalloc {

class FaultLog {
 public:
  static void Report(const BadPointer& bad) {
    std::lock_guard<std::mutex> hold(Mutex());
    Entries().push_back(bad);
  }
  static void Clear() {
    std::lock_guard<std::mutex> hold(Mutex());
    Entries().clear();
  }
  // What was reported since the last call.
  static std::vector<BadPointer> Take() {
    std::lock_guard<std::mutex> hold(Mutex());
    std::vector<BadPointer> taken;
    taken.swap(Entries());
    return taken;
  }

 private:
  static std::mutex& Mutex() {
    static std::mutex mutex;
    return mutex;
  }
  static std::vector<BadPointer>& Entries() {
    static std::vector<BadPointer> entries;
    return entries;
  }
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_FAULT_LOG_H_
