// SPDX-License-Identifier: Apache-2.0
//
// The control groups that the process is in, of either version: for a controller, the process's own
// group and those above it up to the root that it sees, and the texts in their files.
//
// Called by cpu_quota and group_memory, seldom. Files are read through a seam, so that tests can
// invent them. Nothing is allocated; the text is kept in the object, not on what may be a signal
// handler's small stack, so a caller's lock keeps a second thread out.
#ifndef SPANMALLOC_ALLOCATOR_OS_CONTROL_GROUPS_H_
#define SPANMALLOC_ALLOCATOR_OS_CONTROL_GROUPS_H_

#include <cstddef>
#include <string_view>

#include "allocator/os/text_files.h"
#include "allocator/util/text_parts.h"

namespace spanmalloc::os {

struct ControlGroup {
  std::string_view controller;  // whose hierarchy it is in; empty for version 2, which has one
  std::string_view path;        // below the mount, without a slash at the end
  int level;                    // 0: the process's own

  bool v1() const { return !controller.empty(); }
};

class ControlGroups {
 public:
  // The files' texts: its own from then on. All zero at first.
  struct Texts {
    char groups[4096] = {};
    char path[1024] = {};
    char text[4096] = {};
  };

  constexpr ControlGroups(TextFiles& files, Texts& texts) : files_(files), texts_(texts) {}

  static constexpr int kMaxLevels = 16;  // groups looked at, from the process's own upwards

  // Calls visit(const ControlGroup&) for the groups of `controller`, from the process's own
  // upwards, in either version's hierarchy.
  template <typename Visit>
  void ForEach(std::string_view controller, Visit visit) {
    std::string_view lines(texts_.groups,
                           files_.Read("/proc/self/cgroup", texts_.groups, sizeof(texts_.groups)));
    while (!lines.empty()) {
      // "number:controllers:path"; version 2 has number 0 and names no controllers.
      std::string_view line = CutText(&lines, '\n');
      const std::string_view number = CutText(&line, ':');
      const std::string_view controllers = CutText(&line, ':');
      if (number == "0" && controllers.empty()) WalkUp({}, line, visit);
      if (Names(controllers, controller)) WalkUp(controller, line, visit);
    }
  }

  // The start of a file of a group; empty if it can't be read. Good until the next call.
  std::string_view Read(const ControlGroup& group, const char* file);

 private:
  static bool Names(std::string_view controllers, std::string_view controller);

  template <typename Visit>
  static void WalkUp(std::string_view controller, std::string_view path, Visit& visit) {
    for (int level = 0; level < kMaxLevels; ++level) {
      while (!path.empty() && path.back() == '/') path.remove_suffix(1);
      visit(ControlGroup{controller, path, level});
      if (path.empty()) return;
      while (!path.empty() && path.back() != '/') path.remove_suffix(1);
    }
  }

  TextFiles& files_;
  Texts& texts_;
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_CONTROL_GROUPS_H_
