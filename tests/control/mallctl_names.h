// SPDX-License-Identifier: Apache-2.0
//
// mallctl's names read, written and done, for tests of a Control of their own.
#ifndef SPANMALLOC_TESTS_CONTROL_MALLCTL_NAMES_H_
#define SPANMALLOC_TESTS_CONTROL_MALLCTL_NAMES_H_

#include <cstdint>
#include <string>

#include "allocator/control/mallctl.h"
#include "gtest/gtest.h"

namespace spanmalloc {

class MallctlNames {
 public:
  explicit MallctlNames(Control& control) : named_(control) {}

  // The value of a name, which must be readable as T.
  template <typename T>
  T Read(const std::string& name) {
    T value = {};
    size_t length = sizeof(value);
    EXPECT_EQ(MallctlByName(named_, name.c_str(), &value, &length, nullptr, 0), 0) << name;
    EXPECT_EQ(length, sizeof(value)) << name;
    return value;
  }

  template <typename T>
  int Write(const std::string& name, T value) {
    return MallctlByName(named_, name.c_str(), nullptr, nullptr, &value, sizeof(value));
  }

  int Do(const std::string& name) {
    return MallctlByName(named_, name.c_str(), nullptr, nullptr, nullptr, 0);
  }

  void NextEpoch() { EXPECT_EQ(Write<uint64_t>("epoch", 1), 0); }

 private:
  Control& named_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_CONTROL_MALLCTL_NAMES_H_
