// SPDX-License-Identifier: Apache-2.0
//
// Handlers of arena.<i>.*. An index is that of an arena, kAllArenas, kDestroyedArenas, or, for the
// actions on memory only, arenas.narenas as an older name of all arenas.
#include <errno.h>

#include <string_view>

#include "allocator/control/ctl_handlers.h"
#include "allocator/os/clock.h"

namespace spanmalloc {
namespace {

bool NamesMemory(const CtlCall& call) {
  return call.arena() == kAllArenas || call.arena() == call.target().ArenaCount() ||
         call.target().ArenaInitialized(call.arena());
}

bool NamesArenas(const CtlCall& call) {
  return call.arena() == kAllArenas || call.target().ArenaInitialized(call.arena());
}

// An arena that the program made; arena 0 and the indices of several arenas aren't.
bool NamesOwnArena(const CtlCall& call) {
  return call.arena() != 0 && call.target().ArenaInitialized(call.arena());
}

bool IsDecay(const CtlValue& value) { return static_cast<int64_t>(value.number) >= -1; }

}  // namespace

int ArenaInitialized(const CtlCall& call) {
  call.value->number = NamesArenas(call);
  return 0;
}

int ArenaPurge(const CtlCall& call) {
  if (!NamesMemory(call)) return EFAULT;
  if (call.target().purge == nullptr) return EAGAIN;
  call.target().purge();
  return 0;
}

int ArenaDecay(const CtlCall& call) {
  if (!NamesMemory(call)) return EFAULT;
  const ControlTarget& target = call.target();
  const uint64_t now_ms = os::MonotonicNs() / 1'000'000;
  const bool done = target.RunInside([&] { target.sources.page_heap.ReleaseExcess(now_ms); });
  return done ? 0 : EAGAIN;
}

int ArenaReset(const CtlCall& call) {
  if (!NamesOwnArena(call) || call.target().arena_reset == nullptr) return EFAULT;
  return call.target().arena_reset(static_cast<unsigned>(call.arena()));
}

int ArenaDestroy(const CtlCall& call) {
  if (!NamesOwnArena(call) || call.target().arena_destroy == nullptr) return EFAULT;
  return call.target().arena_destroy(static_cast<unsigned>(call.arena()));
}

int ArenaDss(const CtlCall& call) {
  call.value->string = "disabled";
  if (call.write == nullptr) return 0;
  if (call.write->string == nullptr) return EINVAL;
  const std::string_view wanted = call.write->string;
  if (wanted == "disabled") return 0;
  return wanted == "primary" || wanted == "secondary" ? EFAULT : EINVAL;
}

int ArenaDirtyDecay(const CtlCall& call) {
  if (call.arena() != kDestroyedArenas && !NamesArenas(call)) return EFAULT;
  call.value->number = static_cast<uint64_t>(call.state->dirty_decay_ms);
  if (call.write == nullptr) return 0;
  if (!NamesArenas(call) || !IsDecay(*call.write)) return EFAULT;
  call.state->dirty_decay_ms = static_cast<int64_t>(call.write->number);
  if (call.target().set_dirty_decay_ms != nullptr) {
    call.target().set_dirty_decay_ms(call.state->dirty_decay_ms);
  }
  return 0;
}

int ArenaMuzzyDecay(const CtlCall& call) {
  if (call.arena() != kDestroyedArenas && !NamesArenas(call)) return EFAULT;
  call.value->number = static_cast<uint64_t>(call.state->muzzy_decay_ms);
  if (call.write == nullptr) return 0;
  if (!NamesArenas(call) || !IsDecay(*call.write)) return EFAULT;
  call.state->muzzy_decay_ms = static_cast<int64_t>(call.write->number);
  return 0;
}

}  // namespace spanmalloc
