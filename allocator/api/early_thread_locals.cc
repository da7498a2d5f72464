// SPDX-License-Identifier: Apache-2.0
//
// malloc inside the dynamic linker. While it relocates a program, the main thread's TLS is there
// but still zero; the initial values are copied later. An IFUNC resolver of the program that calls
// malloc in between would find no cache, not even the empty one. The library's own resolver below
// runs when the library is relocated, which is before the program is, and puts the empty cache in
// place. (The copy then overwrites it with the same value. A thread state made in between is
// forgotten with the few objects it holds, and a new one made.)
//
// Linked into the shared library only: a static program has no TLS at all at that time.
#include "allocator/api/thread_locals.h"

namespace {

void Nothing() {}

extern "C" __attribute__((used)) void (*SpanmallocInstallEmptyCache())() {
  spanmalloc::thread_locals.cache = &spanmalloc::empty_cache;
  return &Nothing;
}

void ResolvedAtRelocation() __attribute__((ifunc("SpanmallocInstallEmptyCache")));

// The relocation that calls the resolver.
__attribute__((used, retain)) void (*const resolved_at_relocation)() = &ResolvedAtRelocation;

}  // namespace
