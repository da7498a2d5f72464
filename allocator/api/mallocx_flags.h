// SPDX-License-Identifier: Apache-2.0
//
// The flags of mallocx and its kin, taken apart: the only place that knows their bits.
// spanmalloc.h has the macros that compose them.
#ifndef SPANMALLOC_ALLOCATOR_API_MALLOCX_FLAGS_H_
#define SPANMALLOC_ALLOCATOR_API_MALLOCX_FLAGS_H_

#include <cstddef>

namespace spanmalloc {

class MallocxFlags {
 public:
  explicit constexpr MallocxFlags(int flags) : bits_(static_cast<unsigned>(flags)) {}

  // A power of two; 1 if none is named.
  constexpr size_t alignment() const { return size_t{1} << (bits_ & 0x3f); }
  constexpr bool zero() const { return (bits_ & 0x40) != 0; }

  // Whether a cache or an arena is named.
  constexpr bool names_place() const { return bits_ >> kCacheShift != 0; }

  // MALLOCX_TCACHE_NONE, or a cache of the program's.
  constexpr bool names_cache() const { return cache_bits() != 0; }
  constexpr bool without_cache() const { return cache_bits() == 1; }
  // Requires: names_cache() and not without_cache().
  constexpr unsigned cache() const { return cache_bits() - 2; }

  constexpr bool names_arena() const { return bits_ >> kArenaShift != 0; }
  // Requires: names_arena().
  constexpr unsigned arena() const { return (bits_ >> kArenaShift) - 1; }

 private:
  static constexpr unsigned kCacheShift = 8;
  static constexpr unsigned kArenaShift = 20;

  constexpr unsigned cache_bits() const { return bits_ >> kCacheShift & 0xfff; }

  unsigned bits_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_MALLOCX_FLAGS_H_
