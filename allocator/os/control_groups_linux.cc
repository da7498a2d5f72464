// SPDX-License-Identifier: Apache-2.0
//
// The kernel's files for control_groups.h, at the places where systems mount them.
#include "allocator/os/control_groups.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc::os {

bool ControlGroups::Names(std::string_view controllers, std::string_view controller) {
  while (!controllers.empty()) {
    if (CutText(&controllers, ',') == controller) return true;
  }
  return false;
}

std::string_view ControlGroups::Read(const ControlGroup& group, const char* file) {
  TextBuffer full(path_, sizeof(path_));
  full << "/sys/fs/cgroup";
  if (group.v1()) full << '/' << group.controller;
  full << group.path << '/' << file;
  return {text_, full.room() == 0 ? 0 : files_.Read(full.c_str(), text_, sizeof(text_))};
}

}  // namespace spanmalloc::os
