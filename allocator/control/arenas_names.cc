// SPDX-License-Identifier: Apache-2.0
//
// Handlers of arenas.*: what holds for every arena, and the size classes.
#include <errno.h>
#include <string.h>

#include "allocator/control/ctl_handlers.h"
#include "allocator/params/span_shapes.h"

namespace spanmalloc {
namespace {

const SpanShape& BinShape(const CtlCall& call) { return ShapeOf(call.indices[0] + 1); }

int DecaySetting(const CtlCall& call, int64_t* setting) {
  call.value->number = static_cast<uint64_t>(*setting);
  if (call.write == nullptr) return 0;
  if (!IsDecay(*call.write)) return EFAULT;
  *setting = static_cast<int64_t>(call.write->number);
  return 0;
}

bool IsHooks(const ExtentHooks* hooks) { return hooks != nullptr && hooks->alloc != nullptr; }

// Makes an arena, as `config` says if that was written, and returns its index.
int MakeArena(const CtlCall& call, const ArenaConfig& config) {
  if (call.target().arena_create == nullptr) return EAGAIN;
  if (call.write != nullptr && !IsHooks(config.extent_hooks)) return EINVAL;
  ArenaSettings settings = {};
  int error = call.control.WithState([&settings](const ControlState& state) {
    settings = {state.default_dirty_decay_ms, state.default_muzzy_decay_ms};
    return 0;
  });
  settings.hooks = config.extent_hooks;
  settings.tries_hooks = config.metadata_use_hooks != 0;
  unsigned index = 0;
  if (error == 0) error = call.target().arena_create(settings, &index);
  call.value->number = index;
  return error;
}

}  // namespace

bool IsDecay(const CtlValue& value) {
  const auto ms = static_cast<int64_t>(value.number);
  return ms >= -1 && ms <= kMaxDecayMs;
}

ExtentHooks* HooksWritten(const CtlCall& call) {
  auto* hooks = reinterpret_cast<ExtentHooks*>(call.write->number);
  return IsHooks(hooks) ? hooks : nullptr;
}

int NumberOfArenas(const CtlCall& call) {
  call.value->number = call.target().ArenaCount();
  return 0;
}

int ArenasDirtyDecay(const CtlCall& call) {
  return DecaySetting(call, &call.state->default_dirty_decay_ms);
}

int ArenasMuzzyDecay(const CtlCall& call) {
  return DecaySetting(call, &call.state->default_muzzy_decay_ms);
}

int ArenasCreate(const CtlCall& call) {
  if (call.write == nullptr) return MakeArena(call, {});
  return MakeArena(call, {reinterpret_cast<ExtentHooks*>(call.write->number), 0});
}

int ArenasCreateExt(const CtlCall& call) {
  if (call.write == nullptr) return MakeArena(call, {});
  ArenaConfig config;
  memcpy(&config, reinterpret_cast<const void*>(call.write->number), sizeof(config));
  return MakeArena(call, config);
}

int RefusedExtents(const CtlCall& call) {
  call.value->number = call.target().sources.page_heap.refused_extents();
  return 0;
}

int ArenasLookup(const CtlCall& call) {
  if (call.write == nullptr) return EINVAL;
  const Span* span =
      call.target().sources.page_map.SpanOf(reinterpret_cast<const void*>(call.write->number));
  if (span == nullptr) return EINVAL;
  call.value->number = ArenaSet::Owns(span) ? ArenaSet::IndexOf(span) : 0;
  return 0;
}

int BinSize(const CtlCall& call) {
  call.value->number = BinShape(call).size;
  return 0;
}

int BinRegions(const CtlCall& call) {
  call.value->number = BinShape(call).objects;
  return 0;
}

int BinSlabSize(const CtlCall& call) {
  call.value->number = BinShape(call).pages * kPageSize;
  return 0;
}

int BinShards(const CtlCall& call) {
  call.value->number = call.state->snapshot.shards;
  return 0;
}

int LargeClassBytes(const CtlCall& call) {
  call.value->number = LargeClassSize(call.indices[0]);
  return 0;
}

}  // namespace spanmalloc
