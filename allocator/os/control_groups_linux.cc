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
  TextBuffer full(texts_.path, sizeof(texts_.path));
  full << "/sys/fs/cgroup";
  if (group.v1()) full << '/' << group.controller;
  full << group.path << '/' << file;
  char* const text = texts_.text;
  return {text, full.room() == 0 ? 0 : files_.Read(full.c_str(), text, sizeof(texts_.text))};
}

}  // namespace spanmalloc::os
