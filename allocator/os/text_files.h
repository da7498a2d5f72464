// SPDX-License-Identifier: Apache-2.0
//
// The short texts in which the kernel tells what it is asked: files of /proc and /sys. What reads
// several of them takes a seam, so that tests can invent them.
#ifndef SPANMALLOC_ALLOCATOR_OS_TEXT_FILES_H_
#define SPANMALLOC_ALLOCATOR_OS_TEXT_FILES_H_

#include <cstddef>

namespace spanmalloc::os {

class TextFiles {
 public:
  // Reads the start of a file, at most `room` bytes. Returns how many; 0 if it can't be read.
  virtual size_t Read(const char* path, char* text, size_t room) = 0;

 protected:
  ~TextFiles() = default;
};

// Each call opens and closes. The descriptor isn't inherited through exec.
class KernelFiles final : public TextFiles {
 public:
  constexpr KernelFiles() = default;
  size_t Read(const char* path, char* text, size_t room) override;
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_TEXT_FILES_H_
