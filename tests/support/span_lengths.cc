// SPDX-License-Identifier: Apache-2.0
//
// Sets the lengths of spans before main, for tests that are run with several.
#include <cstdlib>

#include "allocator/params/span_shapes.h"

namespace spanmalloc {
namespace {

[[maybe_unused]] const bool done = [] {
  const char* text = getenv("SPAN_LENGTHS");
  if (text == nullptr || !IsSpanLengths(text)) abort();
  SetSpanLengths(text);
  return true;
}();

}  // namespace
}  // namespace spanmalloc
