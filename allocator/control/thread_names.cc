// SPDX-License-Identifier: Apache-2.0
//
// Handlers of thread.*: what concerns the calling thread alone.
#include <errno.h>

#include "allocator/control/ctl_handlers.h"

namespace spanmalloc {

int ThreadArena(const CtlCall& call) {
  const ControlTarget& target = call.target();
  const unsigned current = target.thread_arena == nullptr ? 0 : target.thread_arena();
  call.value->number = current;
  if (call.write == nullptr || call.write->number == current) return 0;
  if (call.write->number >= target.ArenaCount()) return EFAULT;
  if (target.set_thread_arena == nullptr) return EAGAIN;
  return target.set_thread_arena(static_cast<unsigned>(call.write->number));
}

int ThreadCacheEnabled(const CtlCall& call) {
  const ControlTarget& target = call.target();
  const bool enabled = target.ThreadCacheEnabled();
  call.value->number = enabled;
  if (call.write == nullptr) return 0;
  const bool wanted = call.write->number != 0;
  if (wanted == enabled) return 0;
  if (target.enable_thread_cache == nullptr) return EFAULT;
  return target.enable_thread_cache(wanted) ? 0 : EAGAIN;
}

int ThreadCacheFlush(const CtlCall& call) {
  if (!call.target().ThreadCacheEnabled()) return EFAULT;
  return ThreadIdle(call);
}

int ThreadIdle(const CtlCall& call) {
  if (call.target().flush_thread_cache != nullptr) call.target().flush_thread_cache();
  return 0;
}

}  // namespace spanmalloc
