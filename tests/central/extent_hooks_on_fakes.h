// SPDX-License-Identifier: Apache-2.0
//
// Extent hooks over anonymous memory that note how they are called, and arenas that use them.
#ifndef SPANMALLOC_TESTS_CENTRAL_EXTENT_HOOKS_ON_FAKES_H_
#define SPANMALLOC_TESTS_CENTRAL_EXTENT_HOOKS_ON_FAKES_H_

#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/central/central_on_fakes.h"

namespace spanmalloc {

inline constexpr size_t kClass = 10;
inline constexpr size_t kMega = size_t{1} << 20;

// Maps memory `shift` bytes behind a multiple of `alignment`.
inline uintptr_t MapAligned(size_t size, size_t alignment, size_t shift = 0) {
  const size_t whole = size + alignment;
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const uintptr_t begin = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t start = RoundUp(begin, alignment) + shift;
  if (start != begin) munmap(mapped, start - begin);
  if (start + size != begin + whole) {
    munmap(reinterpret_cast<void*>(start + size), begin + whole - start - size);
  }
  return start;
}

// A table of hooks over anonymous memory, which notes every call and what it holds.
struct Provider : ExtentHooks {
  Provider()
      : ExtentHooks{&Alloc, &Dalloc, &Destroy, &Commit, &Decommit, &Lazy, &Forced, &Split, &Merge} {
  }
  ~Provider() {
    for (const auto& [start, size] : extents) munmap(reinterpret_cast<void*>(start), size);
  }

  static Provider& Of(ExtentHooks* hooks) { return *static_cast<Provider*>(hooks); }

  // Notes a call; true if it is the one that is to fail.
  bool Note(const std::string& name, unsigned in_arena) {
    EXPECT_EQ(in_arena, arena);
    calls.push_back(name);
    if (during) during(name);
    return fail_from != 0 && calls.size() >= fail_from;
  }
  bool Decline(const std::string& name, unsigned in_arena) {
    const bool fails = Note(name, in_arena);
    return fails || declined.count(name) != 0;
  }
  void ExpectExtent(void* addr, size_t size) {
    const auto found = extents.find(reinterpret_cast<uintptr_t>(addr));
    ASSERT_NE(found, extents.end());
    EXPECT_EQ(found->second, size);
  }
  void ExpectWhole(void* addr, size_t size, size_t offset, size_t length) {
    ExpectExtent(addr, size);
    EXPECT_EQ(offset, 0u);
    EXPECT_EQ(length, size);
  }

  static void* Alloc(ExtentHooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                     bool* commit, unsigned in_arena) {
    Provider& own = Of(hooks);
    EXPECT_EQ(new_addr, nullptr);
    EXPECT_EQ(size % kHugePageSize, 0u);
    EXPECT_GE(alignment, kHugePageSize);
    EXPECT_TRUE(*commit);
    if (own.Decline("alloc", in_arena)) return nullptr;
    if (own.answer != 0) return reinterpret_cast<void*>(own.answer);
    if (own.range != 0) {
      const uintptr_t at = RoundUp(own.range, alignment);
      if (at + size > own.range_end) return nullptr;
      own.range = at + size;
      own.extents[at] = size;
      return reinterpret_cast<void*>(at);
    }
    const uintptr_t start = MapAligned(size, alignment, own.shift);
    own.extents[start] = size;
    if (own.dirties) memset(reinterpret_cast<void*>(start), 0x5a, size);
    *zero = !own.dirties;
    *commit = own.commits;
    return reinterpret_cast<void*>(start);
  }
  static bool Dalloc(ExtentHooks* hooks, void* addr, size_t size, bool, unsigned in_arena) {
    Provider& own = Of(hooks);
    if (own.Decline("dalloc", in_arena)) return true;
    own.Unmap(addr, size);
    return false;
  }
  static void Destroy(ExtentHooks* hooks, void* addr, size_t size, bool, unsigned in_arena) {
    Of(hooks).Note("destroy", in_arena);
    Of(hooks).Unmap(addr, size);
  }
  static bool Commit(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                     unsigned in_arena) {
    Of(hooks).ExpectWhole(addr, size, offset, length);
    return Of(hooks).Decline("commit", in_arena);
  }
  static bool Decommit(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                       unsigned in_arena) {
    Of(hooks).ExpectWhole(addr, size, offset, length);
    if (Of(hooks).Decline("decommit", in_arena)) return true;
    madvise(addr, size, MADV_DONTNEED);
    return false;
  }
  static bool PurgeAs(const char* name, ExtentHooks* hooks, void* addr, size_t size, size_t offset,
                      size_t length, unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr, size);
    EXPECT_LE(offset + length, size);
    own.purging = static_cast<char*>(addr) + offset;
    if (own.Decline(name, in_arena)) return true;
    // A lazy one leaves what it finds, or not.
    if (strcmp(name, "forced") == 0) {
      madvise(static_cast<char*>(addr) + offset, length, MADV_DONTNEED);
    } else {
      memset(static_cast<char*>(addr) + offset, 0x33, length);
    }
    return false;
  }
  static bool Lazy(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                   unsigned in_arena) {
    return PurgeAs("lazy", hooks, addr, size, offset, length, in_arena);
  }
  static bool Forced(ExtentHooks* hooks, void* addr, size_t size, size_t offset, size_t length,
                     unsigned in_arena) {
    return PurgeAs("forced", hooks, addr, size, offset, length, in_arena);
  }
  static bool Split(ExtentHooks* hooks, void* addr, size_t size, size_t size_a, size_t size_b, bool,
                    unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr, size);
    EXPECT_EQ(size_a + size_b, size);
    if (own.Decline("split", in_arena)) return true;
    const auto start = reinterpret_cast<uintptr_t>(addr);
    own.extents[start] = size_a;
    own.extents[start + size_a] = size_b;
    return false;
  }
  static bool Merge(ExtentHooks* hooks, void* addr_a, size_t size_a, void* addr_b, size_t size_b,
                    bool committed, unsigned in_arena) {
    Provider& own = Of(hooks);
    own.ExpectExtent(addr_a, size_a);
    own.ExpectExtent(addr_b, size_b);
    EXPECT_EQ(static_cast<char*>(addr_a) + size_a, addr_b);
    EXPECT_EQ(committed, own.declined.count("decommit") != 0);
    if (own.Decline("merge", in_arena)) return true;
    own.extents[reinterpret_cast<uintptr_t>(addr_a)] = size_a + size_b;
    own.extents.erase(reinterpret_cast<uintptr_t>(addr_b));
    return false;
  }

  void Unmap(void* addr, size_t size) {
    ExpectExtent(addr, size);
    extents.erase(reinterpret_cast<uintptr_t>(addr));
    munmap(addr, size);
  }
  std::vector<std::string> Take() { return std::exchange(calls, {}); }
  // How often a call was made.
  size_t Count(const std::string& name) const {
    size_t count = 0;
    for (const std::string& call : calls) count += call == name;
    return count;
  }

  unsigned arena = 1;
  std::vector<std::string> calls;
  std::map<uintptr_t, size_t> extents;  // what it has given and not got back
  std::set<std::string> declined;
  size_t fail_from = 0;  // this call and all behind it fail
  std::function<void(const std::string&)> during;
  uintptr_t answer = 0;  // what alloc returns instead
  uintptr_t range = 0;   // where it returns the next extent, up to range_end, if not anywhere
  uintptr_t range_end = 0;
  void* purging = nullptr;  // what it was last asked to purge
  size_t shift = 0;         // by which what it returns isn't aligned
  bool dirties = false;
  bool commits = true;
};

using Calls = std::vector<std::string>;

class ExtentHooksTest : public testing::Test {
 protected:
  ~ExtentHooksTest() {
    EXPECT_TRUE(on_.node_heaps.CheckInvariants());
    EXPECT_TRUE(arenas_.CheckInvariants());
    EXPECT_TRUE(FaultLog::Take().empty());
  }

  unsigned Create(ExtentHooks* hooks, int64_t decay_ms = 1000) {
    unsigned index = 0;
    EXPECT_TRUE(arenas_.Create({decay_ms, 0, hooks}, &index));
    return index;
  }
  // As the slow path does.
  void* Allocate(unsigned arena, size_t size, size_t alignment = kPageSize) {
    const bool large = size > kMaxClassSize;
    const size_t c = large ? kNoSizeClass : kClass;
    void* block = arenas_.Allocate(arena, c, size, alignment, &zeroed_);
    const size_t pages = large ? PagesFor(size) : ShapeOf(c).pages;
    for (int i = 0; block == nullptr && i < 3; ++i) {
      if (!arenas_.Provide(arena, pages, large ? alignment : 1)) break;
      block = arenas_.Allocate(arena, c, size, alignment, &zeroed_);
    }
    return block;
  }
  void* Filled(unsigned arena, size_t size) {
    void* block = Allocate(arena, size);
    EXPECT_NE(block, nullptr);
    if (block != nullptr) memset(block, 0x77, size);
    return block;
  }
  bool Destroy(unsigned arena) { return arenas_.Destroy(arena); }

  CentralOnFakes on_;
  ArenaSet& arenas_ = on_.arenas;
  Provider provider_;
  bool zeroed_ = false;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_CENTRAL_EXTENT_HOOKS_ON_FAKES_H_
