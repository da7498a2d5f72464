// SPDX-License-Identifier: Apache-2.0
#include "allocator/api/glibc_tuning.h"

#include <malloc.h>

#include "allocator/api/block_filling.h"
#include "allocator/api/control_instance.h"
#include "allocator/api/runtime.h"
#include "allocator/api/slow_path_scope.h"
#include "allocator/control/load_options.h"
#include "allocator/control/mallctl.h"

namespace spanmalloc {
namespace {

// What glibc takes at most.
constexpr int kMaxFastSize = 160;
constexpr int kMaxMmapThreshold = 32 << 20;

bool SetTrimThreshold(int value) {
  int64_t decay_ms = 0;
  size_t limit = 0;
  ApplyTrimThreshold(value, &decay_ms, &limit);
  if (decay_ms < 0 && MallctlByName(control(), "arena.4096.dirty_decay_ms", nullptr, nullptr,
                                    &decay_ms, sizeof(decay_ms)) != 0) {
    return false;
  }
  SlowPathScope scope;
  if (scope.nested() || !runtime.EnsureInitialized()) return false;
  runtime.page_heap.SetDirtyLimit(limit, options.dirty_limit_percent);
  return true;
}

}  // namespace

int SetMalloptParameter(int parameter, int value) {
  switch (parameter) {
    case M_TRIM_THRESHOLD:
      return SetTrimThreshold(value);
    case M_PERTURB:
      return SetFilling(static_cast<uint8_t>(value));
    case M_MXFAST:
      return value >= 0 && value <= kMaxFastSize;
    case M_MMAP_THRESHOLD:
      return value <= kMaxMmapThreshold;
    case M_TOP_PAD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
      return 1;
    default:
      return 0;
  }
}

}  // namespace spanmalloc
