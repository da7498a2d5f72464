// SPDX-License-Identifier: Apache-2.0
//
// Handlers of arena.<i>.*. An index is that of an arena, kAllArenas, kDestroyedArenas, or, for the
// actions on memory only, arenas.narenas as an older name of all arenas.
#include <errno.h>
#include <string.h>

#include <string_view>

#include "allocator/control/ctl_handlers.h"
#include "allocator/os/clock.h"
#include "allocator/util/text_buffer.h"

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

// One explicit arena, not the automatic one and not several.
bool IsExplicit(size_t index) { return index != 0 && index < kAllArenas; }

unsigned Index(const CtlCall& call) { return static_cast<unsigned>(call.arena()); }

// A number that is remembered for each arena; 0 in the notes is `fallback`.
int Remembered(const CtlCall& call, size_t ArenaNotes::* note, size_t fallback) {
  ArenaSet* arenas = call.target().sources.arenas;
  if (arenas == nullptr || !call.target().ArenaInitialized(call.arena())) return EFAULT;
  size_t& number = arenas->Notes(Index(call)).*note;
  call.value->number = number == 0 ? fallback : number;
  if (call.write != nullptr) number = call.write->number;
  return 0;
}

}  // namespace

int ArenaInitialized(const CtlCall& call) {
  const ArenaSet* arenas = call.target().sources.arenas;
  call.value->number = call.arena() == kDestroyedArenas
                           ? arenas != nullptr && arenas->AnyDestroyed()
                           : NamesArenas(call);
  return 0;
}

int ArenaPurge(const CtlCall& call) {
  if (call.arena() == kDestroyedArenas) return 0;
  if (!NamesMemory(call)) return EFAULT;
  const ControlTarget& target = call.target();
  if (target.purge == nullptr || target.purge_arena == nullptr) return EAGAIN;
  if (target.ArenaInitialized(call.arena())) {
    target.purge_arena(Index(call));
  } else {
    target.purge();
  }
  return 0;
}

int ArenaDecay(const CtlCall& call) {
  if (call.arena() == kDestroyedArenas) return 0;
  if (!NamesMemory(call)) return EFAULT;
  const ControlTarget& target = call.target();
  const uint64_t now_ms = os::MonotonicNs() / 1'000'000;
  const bool done = target.RunInside([&] {
    NodeHeaps& heaps = target.sources.page_heap;
    const bool all = !target.ArenaInitialized(call.arena());
    if (all || call.arena() == 0) heaps.ReleaseNodesExcess(now_ms);
    for (unsigned i = 1; i < target.ArenaCount(); ++i) {
      if (all || call.arena() == i) target.sources.arenas->Decay(i, now_ms);
    }
  });
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
  if (!NamesMemory(call)) return EFAULT;
  call.value->string = "disabled";
  if (call.write == nullptr) return 0;
  if (call.write->string == nullptr) return EINVAL;
  const std::string_view wanted = call.write->string;
  if (wanted == "disabled") return 0;
  return wanted == "primary" || wanted == "secondary" ? EFAULT : EINVAL;
}

// Several arenas read as the automatic one.
int ArenaDirtyDecay(const CtlCall& call) {
  if (!NamesArenas(call)) return EFAULT;
  ControlState& state = *call.state;
  ArenaSet* arenas = call.target().sources.arenas;
  const bool is_explicit = IsExplicit(call.arena());
  call.value->number = static_cast<uint64_t>(
      is_explicit ? arenas->Settings(Index(call)).dirty_decay_ms : state.dirty_decay_ms);
  if (call.write == nullptr) return 0;
  if (!IsDecay(*call.write)) return EFAULT;
  const auto wanted = static_cast<int64_t>(call.write->number);
  if (!is_explicit) {
    state.dirty_decay_ms = wanted;
    if (call.target().set_dirty_decay_ms != nullptr) call.target().set_dirty_decay_ms(wanted);
  }
  for (unsigned i = 1; i < call.target().ArenaCount(); ++i) {
    if (call.arena() == i || call.arena() == kAllArenas) arenas->SetDirtyDecay(i, wanted);
  }
  return 0;
}

int ArenaMuzzyDecay(const CtlCall& call) {
  if (!NamesArenas(call)) return EFAULT;
  ControlState& state = *call.state;
  ArenaSet* arenas = call.target().sources.arenas;
  const bool is_explicit = IsExplicit(call.arena());
  call.value->number = static_cast<uint64_t>(
      is_explicit ? arenas->Settings(Index(call)).muzzy_decay_ms : state.muzzy_decay_ms);
  if (call.write == nullptr) return 0;
  if (!IsDecay(*call.write)) return EFAULT;
  const auto wanted = static_cast<int64_t>(call.write->number);
  if (!is_explicit) state.muzzy_decay_ms = wanted;
  for (unsigned i = 1; i < call.target().ArenaCount(); ++i) {
    if (call.arena() == i || call.arena() == kAllArenas) arenas->SetMuzzyDecay(i, wanted);
  }
  return 0;
}

int ArenaName(const CtlCall& call) {
  if (call.arena() >= call.target().ArenaCount()) return EINVAL;
  ArenaSet* arenas = call.target().sources.arenas;
  if (arenas == nullptr || !call.target().ArenaInitialized(call.arena())) return EFAULT;
  char* name = arenas->Notes(Index(call)).name;
  if (call.value->string != nullptr) {
    TextBuffer text(const_cast<char*>(call.value->string), ArenaNotes::kNameBytes);
    if (name[0] != '\0') {
      text << name;
    } else {
      text << (call.arena() == 0 ? "auto_" : "manual_") << uint64_t{call.arena()};
    }
  }
  if (call.write == nullptr) return 0;
  if (call.write->string == nullptr) return EINVAL;
  const size_t length = strnlen(call.write->string, ArenaNotes::kNameBytes - 1);
  memcpy(name, call.write->string, length);
  name[length] = '\0';
  return 0;
}

int ArenaExtentHooks(const CtlCall& call) {
  ArenaSet* arenas = call.target().sources.arenas;
  if (arenas == nullptr || !call.target().ArenaInitialized(call.arena())) return EFAULT;
  call.value->number = reinterpret_cast<uintptr_t>(arenas->Hooks(Index(call)));
  if (call.write == nullptr) return 0;
  ExtentHooks* hooks = HooksWritten(call);
  if (hooks == nullptr) return EINVAL;
  return arenas->SetHooks(Index(call), hooks) ? 0 : EAGAIN;
}

int ArenaOversizeThreshold(const CtlCall& call) {
  return Remembered(call, &ArenaNotes::oversize_threshold, size_t{8} << 20);
}

int ArenaRetainGrowLimit(const CtlCall& call) {
  return Remembered(call, &ArenaNotes::retain_grow_limit, kWindowSize);
}

}  // namespace spanmalloc
