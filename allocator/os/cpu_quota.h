// SPDX-License-Identifier: Apache-2.0
//
// How much CPU time the process's control groups let it use, of either version of cgroups: the
// quota of each level from the process's own group up to the root that it sees. (Which CPUs it may
// run on needs no question: the numbers of current_cpu.h follow.)
//
// Called by the runtime's maintenance, seldom. Files are read through a seam, so that tests can
// invent them. Nothing is allocated; the text is kept in the object, not on what may be a signal
// handler's small stack, so a caller's lock keeps a second thread out.
#ifndef SPANMALLOC_ALLOCATOR_OS_CPU_QUOTA_H_
#define SPANMALLOC_ALLOCATOR_OS_CPU_QUOTA_H_

#include <cstddef>
#include <string_view>

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

class CpuQuota {
 public:
  explicit constexpr CpuQuota(TextFiles& files) : files_(files) {}

  static constexpr size_t kUnlimited = ~size_t{0};

  // The least quota in CPUs, rounded up; kUnlimited if no group has one, or no file tells. Reads at
  // most 1 + 3 * kMaxLevels files.
  size_t Cpus();

 private:
  static constexpr int kMaxLevels = 16;  // groups looked at, from the process's own upwards

  // Bounds *least by the quotas of the group at `path`, below the mount, and those above it.
  void LookUpwards(std::string_view mount, std::string_view path, size_t* least);
  std::string_view ReadAt(std::string_view mount, std::string_view path, const char* file);

  TextFiles& files_;
  char groups_[4096] = {};
  char path_[1024] = {};
  char text_[64] = {};
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_CPU_QUOTA_H_
