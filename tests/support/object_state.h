// SPDX-License-Identifier: Apache-2.0
//
// What a span knows of an address, asked without a change of the span.
#ifndef SPANMALLOC_TESTS_SUPPORT_OBJECT_STATE_H_
#define SPANMALLOC_TESTS_SUPPORT_OBJECT_STATE_H_

#include <cstdint>

#include "allocator/heap/span.h"

namespace spanmalloc {

enum class ObjectState {
  kNoObject,  // not the start of one
  kLive,
  kFree,
};

inline ObjectState StateOfObjectAt(Span& span, uintptr_t address) {
  if (!span.HasObjectAt(reinterpret_cast<void*>(address))) return ObjectState::kNoObject;
  const size_t index = (address - span.start) / span.object_size();
  const bool is_free = span.in_order ? index >= span.live_objects() : span.free().Get(index);
  return is_free ? ObjectState::kFree : ObjectState::kLive;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_OBJECT_STATE_H_
