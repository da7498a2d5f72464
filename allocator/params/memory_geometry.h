// SPDX-License-Identifier: Apache-2.0
//
// The fixed measures of the heap: pages, huge pages, the window of the address space that holds
// every block, and the arithmetic between addresses and indices. Facts only; no state.
//
// All blocks lie in one window of 4 TiB. An address maps to its page index by its bits modulo the
// window's size, which needs no subtraction of a base, makes any 64-bit pointer a valid index
// (so that a wild pointer can be looked up and reported) and lets the flat page map cover the
// window alone: one byte per page, 512 MiB of address space of which only the bytes of pages in
// use are ever resident.
#ifndef SPANMALLOC_ALLOCATOR_PARAMS_MEMORY_GEOMETRY_H_
#define SPANMALLOC_ALLOCATOR_PARAMS_MEMORY_GEOMETRY_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

inline constexpr int kPageShift = 13;
inline constexpr size_t kPageSize = size_t{1} << kPageShift;

inline constexpr int kHugePageShift = 21;
inline constexpr size_t kHugePageSize = size_t{1} << kHugePageShift;
inline constexpr size_t kPagesPerHugePage = kHugePageSize / kPageSize;

// Memory inside a span goes back to the kernel in parts of this many bytes: the smallest pages that
// any kernel has.
inline constexpr size_t kReleaseUnit = 4096;

inline constexpr int kWindowShift = 42;
inline constexpr size_t kWindowSize = size_t{1} << kWindowShift;
inline constexpr size_t kWindowPages = kWindowSize / kPageSize;
inline constexpr size_t kWindowHugePages = kWindowSize / kHugePageSize;

// Every address of a full-size window has this bit set, and NULL doesn't: the one test that sized
// delete makes on a pointer. (Windows placed lower, where the kernel offers less address space,
// don't have it; sized delete then takes its slow path.)
inline constexpr int kHeapAddressBit = 44;

inline constexpr size_t kCacheLine = 64;

// malloc's alignment on every supported platform (alignof(max_align_t)).
inline constexpr size_t kMinAlignment = 16;

// The largest request the C library's contract lets malloc serve.
inline constexpr size_t kMaxRequest = static_cast<size_t>(PTRDIFF_MAX);

constexpr size_t PageIndex(uintptr_t address) {
  return (address << (64 - kWindowShift)) >> (64 - kWindowShift + kPageShift);
}

constexpr size_t HugePageIndex(uintptr_t address) {
  return (address << (64 - kWindowShift)) >> (64 - kWindowShift + kHugePageShift);
}

constexpr size_t RoundUp(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

constexpr size_t HugePagesFor(size_t pages) {
  return (pages + kPagesPerHugePage - 1) / kPagesPerHugePage;
}

constexpr size_t PagesFor(size_t bytes) { return (bytes + kPageSize - 1) >> kPageShift; }

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PARAMS_MEMORY_GEOMETRY_H_
