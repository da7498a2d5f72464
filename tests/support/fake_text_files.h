// SPDX-License-Identifier: Apache-2.0
//
// Files that a test invents.
#ifndef SPANMALLOC_TESTS_SUPPORT_FAKE_TEXT_FILES_H_
#define SPANMALLOC_TESTS_SUPPORT_FAKE_TEXT_FILES_H_

#include <string.h>

#include <map>
#include <string>

#include "allocator/os/control_groups.h"

namespace spanmalloc {

class FakeTextFiles final : public os::TextFiles {
 public:
  size_t Read(const char* path, char* text, size_t room) override {
    ++reads;
    const auto file = files.find(path);
    if (file == files.end()) return 0;
    const size_t length = file->second.size() < room ? file->second.size() : room;
    memcpy(text, file->second.data(), length);
    return length;
  }

  std::map<std::string, std::string> files;
  int reads = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_FAKE_TEXT_FILES_H_
