// SPDX-License-Identifier: Apache-2.0
//
// Explicit arenas, for programs that know the library by its C names only.

#ifndef SPANMALLOC_TESTS_OVERRIDE_ARENAS_H_
#define SPANMALLOC_TESTS_OVERRIDE_ARENAS_H_

#include <stddef.h>
#include <stdio.h>

#include "tests/override/check.h"
#include "tests/override/statistics.h"

namespace arenas {

inline int Mallctl(const char* name, void* oldp, size_t* oldlenp, void* newp, size_t newlen) {
  static const auto mallctl = statistics::Find<statistics::Mallctl>("mallctl");
  return mallctl(name, oldp, oldlenp, newp, newlen);
}

inline void* Mallocx(size_t size, int flags) {
  static const auto mallocx = statistics::Find<void* (*)(size_t, int)>("mallocx");
  return mallocx(size, flags);
}

// mallocx's flags for an arena.
inline int In(unsigned arena) { return static_cast<int>((arena + 1) << 20); }

inline unsigned Create() {
  unsigned index = 0;
  size_t length = sizeof(index);
  const int error = Mallctl("arenas.create", &index, &length, nullptr, 0);
  if (error != 0) SKIP("the library makes no arena");
  return index;
}

// arena.<arena>.<action>
inline int Do(unsigned arena, const char* action) {
  char name[64];
  snprintf(name, sizeof(name), "arena.%u.%s", arena, action);
  return Mallctl(name, nullptr, nullptr, nullptr, 0);
}

// Has the calling thread allocate from an arena.
inline int Bind(unsigned arena) {
  return Mallctl("thread.arena", nullptr, nullptr, &arena, sizeof(arena));
}

// The arena of a block; -1 if it is in none.
inline int Of(void* block) {
  unsigned index = 0;
  size_t length = sizeof(index);
  return Mallctl("arenas.lookup", &index, &length, &block, sizeof(block)) == 0
             ? static_cast<int>(index)
             : -1;
}

// stats.arenas.<arena>.<number>, as it is now.
inline uint64_t Stat(unsigned arena, const char* number) {
  statistics::Read("epoch");
  char name[64];
  snprintf(name, sizeof(name), "stats.arenas.%u.%s", arena, number);
  uint64_t value = 0;
  size_t length = sizeof(value);
  // Of one that is shorter, what there is was copied.
  Mallctl(name, &value, &length, nullptr, 0);
  CHECK(length == 4 || length == 8, "no %s", name);
  return value;
}

}  // namespace arenas

#endif  // SPANMALLOC_TESTS_OVERRIDE_ARENAS_H_
