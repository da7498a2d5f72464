// SPDX-License-Identifier: Apache-2.0
//
// No mapping of the process is both writable and executable, before and after heavy use.

#include "tests/override/check.h"

namespace {

void CheckMappings(const char* when) {
  FILE* maps = fopen("/proc/self/maps", "r");
  CHECK(maps != nullptr, "cannot read the mappings");
  char line[512];
  while (fgets(line, sizeof(line), maps) != nullptr) {
    char permissions[5];
    if (sscanf(line, "%*s %4s", permissions) != 1) continue;
    CHECK(permissions[1] != 'w' || permissions[2] != 'x', "%s: %s", when, line);
  }
  fclose(maps);
}

}  // namespace

int main() {
  CheckMappings("at the start");
  for (size_t size = 1; size < (256u << 20); size = size * 3 / 2 + 1) {
    void* kept = malloc(size);
    void* freed = malloc(size);
    memset(kept, 1, size);
    free(freed);
  }
  CheckMappings("after use");
  return 0;
}
