// SPDX-License-Identifier: Apache-2.0
//
// The kernel's texts for cpu_quota.h: /proc/self/cgroup, cpu.max (version 2), cpu.cfs_quota_us and
// cpu.cfs_period_us (version 1), at the places where systems mount them.
#include <fcntl.h>

#include "allocator/os/cpu_quota.h"
#include "allocator/os/system_call.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc::os {
namespace {

constexpr std::string_view kMountV1 = "/sys/fs/cgroup/cpu";
constexpr std::string_view kMountV2 = "/sys/fs/cgroup";

// Cuts off and returns what comes before the first `separator`, which is dropped.
std::string_view Next(std::string_view* text, char separator) {
  const size_t at = text->find(separator);
  std::string_view head(text->data(), at == text->npos ? text->size() : at);
  text->remove_prefix(at == text->npos ? text->size() : at + 1);
  return head;
}

// The number that a text starts with, 0 for "max", "-1" or none.
size_t Number(std::string_view text) {
  size_t number = 0;
  for (char c : text) {
    if (c < '0' || c > '9' || number > CpuQuota::kUnlimited / 16) break;
    number = number * 10 + static_cast<size_t>(c - '0');
  }
  return number;
}

bool NamesCpu(std::string_view controllers) {
  while (!controllers.empty()) {
    if (Next(&controllers, ',') == "cpu") return true;
  }
  return false;
}

}  // namespace

size_t KernelFiles::Read(const char* path, char* text, size_t room) {
  const long file = SystemCall(SYS_openat, AT_FDCWD, AsArgument(path), O_RDONLY | O_CLOEXEC);
  if (IsError(file)) return 0;
  const long length = SystemCall(SYS_read, file, AsArgument(text), static_cast<long>(room));
  SystemCall(SYS_close, file);
  return IsError(length) ? 0 : static_cast<size_t>(length);
}

std::string_view CpuQuota::ReadAt(std::string_view mount, std::string_view path, const char* file) {
  TextBuffer full(path_, sizeof(path_));
  full << mount << path << '/' << file;
  return {text_, full.room() == 0 ? 0 : files_.Read(full.c_str(), text_, sizeof(text_))};
}

void CpuQuota::LookUpwards(std::string_view mount, std::string_view path, size_t* least) {
  for (int level = 0; level < kMaxLevels; ++level) {
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    const bool v1 = mount == kMountV1;
    std::string_view text = ReadAt(mount, path, v1 ? "cpu.cfs_quota_us" : "cpu.max");
    if (!text.empty()) {
      const size_t quota = Number(Next(&text, ' '));
      const size_t period = Number(v1 ? ReadAt(mount, path, "cpu.cfs_period_us") : text);
      const bool limited = quota != 0 && period != 0;
      const size_t cpus = limited ? (quota - 1) / period + 1 : kUnlimited;
      if (cpus < *least) *least = cpus;
    }
    if (path.empty()) return;
    while (!path.empty() && path.back() != '/') path.remove_suffix(1);
  }
}

size_t CpuQuota::Cpus() {
  size_t least = kUnlimited;
  std::string_view lines(groups_, files_.Read("/proc/self/cgroup", groups_, sizeof(groups_)));
  while (!lines.empty()) {
    // "number:controllers:path"; version 2 has number 0 and names no controllers.
    std::string_view line = Next(&lines, '\n');
    const std::string_view number = Next(&line, ':');
    const std::string_view controllers = Next(&line, ':');
    if (number == "0" && controllers.empty()) LookUpwards(kMountV2, line, &least);
    if (NamesCpu(controllers)) LookUpwards(kMountV1, line, &least);
  }
  return least;
}

}  // namespace spanmalloc::os
