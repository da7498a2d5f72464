// SPDX-License-Identifier: Apache-2.0
//
// The kernel's settings of transparent huge pages as a test wants them, and what the kernel was
// told about a mapping.
#ifndef SPANMALLOC_TESTS_SUPPORT_HUGE_PAGE_SETTINGS_H_
#define SPANMALLOC_TESTS_SUPPORT_HUGE_PAGE_SETTINGS_H_

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace spanmalloc {

// A folder with the kernel's settings of transparent huge pages, invented.
class HugePageSettings {
 public:
  HugePageSettings(const char* enabled, const char* size) : folder_(testing::TempDir() + "thp/") {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ + "enabled") << enabled << "\n";
    std::ofstream(folder_ + "hpage_pmd_size") << size << "\n";
  }
  ~HugePageSettings() { std::filesystem::remove_all(folder_); }

  const char* folder() const { return folder_.c_str(); }

 private:
  const std::string folder_;
};

// What the kernel is told about the mapping at `address`: "hg" and "nh" among others (proc(5)).
inline std::string FlagsOf(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool found = false;
  while (std::getline(maps, line)) {
    uintptr_t begin, end;
    if (sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
      const auto wanted = reinterpret_cast<uintptr_t>(address);
      found = wanted >= begin && wanted < end;
    } else if (found && line.rfind("VmFlags:", 0) == 0) {
      return line + " ";
    }
  }
  return "";
}
inline bool IsAsked(const void* address) {
  return FlagsOf(address).find(" hg ") != std::string::npos;
}
inline bool IsDeclined(const void* address) {
  return FlagsOf(address).find(" nh ") != std::string::npos;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_HUGE_PAGE_SETTINGS_H_
