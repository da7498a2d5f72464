// SPDX-License-Identifier: Apache-2.0
//
// Handlers of thread.*: what concerns the calling thread alone.
#include <errno.h>

#include "allocator/control/ctl_handlers.h"

namespace spanmalloc {
namespace {

// Runs use(ThreadCounts&) on the calling thread's counts.
template <typename Use>
int WithCounts(const CtlCall& call, Use use) {
  ThreadCounts* counts = call.target().ThreadCountsOrNull();
  if (counts == nullptr) return EAGAIN;
  use(*counts);
  return 0;
}

}  // namespace

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

int ThreadCounting(const CtlCall& call) {
  const ControlTarget& target = call.target();
  call.value->number = target.ThreadCounting();
  if (call.write == nullptr) return 0;
  if (target.set_thread_counting == nullptr) return EFAULT;
  return target.set_thread_counting(call.write->number != 0) ? 0 : EAGAIN;
}

int ThreadAllocated(const CtlCall& call) {
  return WithCounts(call, [&call](ThreadCounts& counts) {
    call.value->number = RelaxedLoad(*counts.allocated());
  });
}

int ThreadAllocatedPointer(const CtlCall& call) {
  return WithCounts(call, [&call](ThreadCounts& counts) {
    call.value->number = reinterpret_cast<uintptr_t>(counts.allocated());
  });
}

int ThreadDeallocated(const CtlCall& call) {
  return WithCounts(
      call, [&call](ThreadCounts& counts) { call.value->number = RelaxedLoad(*counts.freed()); });
}

int ThreadDeallocatedPointer(const CtlCall& call) {
  return WithCounts(call, [&call](ThreadCounts& counts) {
    call.value->number = reinterpret_cast<uintptr_t>(counts.freed());
  });
}

int ThreadPeak(const CtlCall& call) {
  return WithCounts(call, [&call](ThreadCounts& counts) { call.value->number = counts.peak(); });
}

int ThreadPeakReset(const CtlCall& call) {
  int error = EAGAIN;
  call.target().RunInside(
      [&] { error = WithCounts(call, [](ThreadCounts& counts) { counts.ResetPeak(); }); });
  return error;
}

}  // namespace spanmalloc
