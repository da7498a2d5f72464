// SPDX-License-Identifier: Apache-2.0
//
// spanmalloc for C++ containers: an allocator for the standard's containers, a
// std::pmr::memory_resource, and regions. Header-only, over the C functions of spanmalloc.h; C++17
// and later.
//
//   std::vector<int, spanmalloc::allocator<int>> v;
//   std::pmr::vector<int> w(spanmalloc::default_resource());
//
// In a program whose operator new is spanmalloc's, std::allocator is as good. These are for
// programs that want this heap whatever operator new is, and for the size: every block is freed
// with its size, whether or not the compiler was told to use sized delete. Both are stateless and
// thread-safe.
//
// A region, whose blocks are freed all at once, and a memory resource over it:
//
//   spanmalloc::region scratch(std::size_t{1} << 30);
//   spanmalloc::region_resource in_scratch(scratch);
//   {
//     spanmalloc::region_scope scope(scratch);  // what is allocated in here is freed at its end
//     std::pmr::vector<int> x(&in_scratch);
//   }
//
// And an explicit arena, a heap apart whose blocks can be freed all at once, or one by one:
//
//   spanmalloc::arena arena;
//   spanmalloc::arena_resource resource(arena);
//   std::pmr::vector<int> x(&resource);
//
// All throw std::bad_alloc when memory can't be had (compiled without exceptions: std::abort).
// Over-aligned types are served.
#ifndef SPANMALLOC_SPANMALLOC_HPP_
#define SPANMALLOC_SPANMALLOC_HPP_

#include <spanmalloc/spanmalloc.h>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <memory>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

namespace spanmalloc {
namespace detail {

// The alignment every block has, as mallocx's flags.
inline constexpr std::size_t kMallocAlignment = alignof(std::max_align_t);

constexpr int alignment_flags(std::size_t alignment) noexcept {
  return alignment <= kMallocAlignment ? 0 : MALLOCX_ALIGN(alignment);
}

[[noreturn]] inline void fail() {
#ifdef __cpp_exceptions
  throw std::bad_alloc();
#else
  std::abort();
#endif
}

// `bytes` bytes at `alignment`, a power of two.
inline void* allocate(std::size_t bytes, std::size_t alignment) {
  void* block = ::mallocx(bytes != 0 ? bytes : 1, alignment_flags(alignment));
  if (block == nullptr) fail();
  return block;
}

// Frees what allocate(bytes, alignment) returned.
inline void deallocate(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  ::sdallocx(block, bytes != 0 ? bytes : 1, alignment_flags(alignment));
}

}  // namespace detail

// What allocator::allocate_at_least returns; C++23's std::allocation_result has the same members.
template <typename Pointer>
struct allocation_result {
  Pointer ptr;
  std::size_t count;
};

// [allocator.requirements]. Any two are equal.
template <typename T>
class allocator {
 public:
  using value_type = T;
  using is_always_equal = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;

  constexpr allocator() noexcept = default;
  template <typename U>
  constexpr allocator(const allocator<U>&) noexcept {}

  // Room for `count` objects; std::bad_array_new_length if their bytes can't be counted.
  [[nodiscard]] T* allocate(std::size_t count) {
    return static_cast<T*>(detail::allocate(bytes_of(count), alignof(T)));
  }

  // Room for at least `count` objects, and for how many: rounding up wastes nothing then. Any
  // number from `count` to that one may be given to deallocate.
  [[nodiscard]] allocation_result<T*> allocate_at_least(std::size_t count) {
    const std::size_t bytes = bytes_of(count);
    const std::size_t usable =
        ::nallocx(bytes != 0 ? bytes : 1, detail::alignment_flags(alignof(T)));
    const std::size_t fitting = usable / sizeof(T) > count ? usable / sizeof(T) : count;
    return {allocate(fitting), fitting};
  }

  // Takes back what allocate(count) returned.
  void deallocate(T* block, std::size_t count) noexcept {
    detail::deallocate(block, count * sizeof(T), alignof(T));
  }

  template <typename U>
  friend constexpr bool operator==(const allocator&, const allocator<U>&) noexcept {
    return true;
  }
  template <typename U>
  friend constexpr bool operator!=(const allocator&, const allocator<U>&) noexcept {
    return false;
  }

 private:
  static std::size_t bytes_of(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) {
#ifdef __cpp_exceptions
      throw std::bad_array_new_length();
#else
      std::abort();
#endif
    }
    return count * sizeof(T);
  }
};

// [mem.res.class]. Any two are equal.
class memory_resource final : public std::pmr::memory_resource {
 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return detail::allocate(bytes, alignment);
  }

  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    detail::deallocate(block, bytes, alignment);
  }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
#ifdef __cpp_rtti
    return dynamic_cast<const memory_resource*>(&other) != nullptr;
#else
    return this == &other;
#endif
  }
};

// One resource for all, alive from before main until the process ends.
inline memory_resource* default_resource() noexcept {
  alignas(memory_resource) static char storage[sizeof(memory_resource)];
  static memory_resource* const resource = new (storage) memory_resource;
  return resource;
}

// A region (spanmalloc.h), owned: destroyed at the end of its scope. Who uses it from several
// threads keeps to the rules there.
class region {
 public:
  // Reserves `reserve` bytes of address space; `shared`: several threads may allocate at once.
  explicit region(std::size_t reserve, bool shared = false)
      : region_(::spanmalloc_region_create(reserve, shared ? SPANMALLOC_REGION_SHARED : 0)) {
    if (region_ == nullptr) detail::fail();
  }
  region(region&& other) noexcept : region_(other.region_) { other.region_ = nullptr; }
  // Destroys the region that it had.
  region& operator=(region&& other) noexcept {
    region moved(std::move(other));
    std::swap(region_, moved.region_);
    return *this;
  }
  ~region() {
    if (region_ != nullptr) ::spanmalloc_region_destroy(region_);
  }

  // `bytes` bytes at `alignment`, a power of two.
  [[nodiscard]] void* allocate(std::size_t bytes,
                               std::size_t alignment = alignof(std::max_align_t)) {
    void* block = ::spanmalloc_region_allocate(region_, bytes, alignment);
    if (block == nullptr) detail::fail();
    return block;
  }

  // As the C functions of these names.
  using mark = ::spanmalloc_region_mark;
  mark get_mark() noexcept { return ::spanmalloc_region_get_mark(region_); }
  void rewind(const mark& to) noexcept { ::spanmalloc_region_rewind(region_, to); }
  void reset() noexcept { ::spanmalloc_region_reset(region_); }
  std::size_t trim(std::size_t keep = 0) noexcept {
    return ::spanmalloc_region_trim(region_, keep);
  }
  ::spanmalloc_region_sizes sizes() noexcept { return ::spanmalloc_region_get_sizes(region_); }

  // For the C functions; still owned.
  ::spanmalloc_region* get() const noexcept { return region_; }

 private:
  ::spanmalloc_region* region_;
};

// At its end, rewinds a region to where it was.
class region_scope {
 public:
  explicit region_scope(region& of) noexcept : region_(of), mark_(of.get_mark()) {}
  ~region_scope() { region_.rewind(mark_); }
  region_scope(const region_scope&) = delete;
  region_scope& operator=(const region_scope&) = delete;

 private:
  region& region_;
  const region::mark mark_;
};

// As std::pmr::monotonic_buffer_resource: deallocation does nothing. As thread-safe as its region.
class region_resource final : public std::pmr::memory_resource {
 public:
  explicit region_resource(region& from) noexcept : region_(from) {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return region_.allocate(bytes, alignment);
  }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  region& region_;
};

namespace detail {

// mallctl of arena.<index>.<action>. False if it fails.
inline bool act_on_arena(const char* name, unsigned index) noexcept {
  std::size_t mib[3];
  std::size_t length = 3;
  if (::mallctlnametomib(name, mib, &length) != 0) return false;
  mib[1] = index;
  return ::mallctlbymib(mib, length, nullptr, nullptr, nullptr, 0) == 0;
}

}  // namespace detail

// An explicit arena, made and destroyed with its handle. It shares no huge page (2 MiB) with
// another heap. Allocating and deallocating are thread-safe; the rest isn't: nobody may use the
// arena or its blocks meanwhile. Its blocks may be freed by free and its like, too, on any thread.
class arena {
 public:
  // Throws std::bad_alloc if there is no memory, or there are too many arenas.
  arena() {
    std::size_t size = sizeof(index_);
    if (::mallctl("arenas.create", &index_, &size, nullptr, 0) != 0) detail::fail();
  }
  arena(arena&& other) noexcept : index_(other.index_) { other.index_ = kNone; }
  // Destroys the arena that it had.
  arena& operator=(arena&& other) noexcept {
    arena moved(std::move(other));
    std::swap(index_, moved.index_);
    return *this;
  }
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;

  // Frees all blocks. Threads must not be bound to the arena (mallctl's thread.arena): it would
  // stay.
  ~arena() {
    if (index_ != kNone) detail::act_on_arena("arena.0.destroy", index_);
  }

  // What MALLOCX_ARENA and mallctl's names take. Of a handle that was moved from: 0.
  unsigned index() const noexcept { return index_; }

  // `bytes` bytes at `alignment`, a power of two; std::bad_alloc if they can't be had. Requires:
  // the handle wasn't moved from.
  [[nodiscard]] void* allocate(std::size_t bytes,
                               std::size_t alignment = detail::kMallocAlignment) {
    const int flags =
        detail::alignment_flags(alignment) | MALLOCX_ARENA(index_) | MALLOCX_TCACHE_NONE;
    void* block = ::mallocx(bytes != 0 ? bytes : 1, flags);
    if (block == nullptr) detail::fail();
    return block;
  }

  // Takes back what allocate(bytes, alignment) returned.
  void deallocate(void* block, std::size_t bytes,
                  std::size_t alignment = detail::kMallocAlignment) noexcept {
    ::sdallocx(block, bytes != 0 ? bytes : 1,
               detail::alignment_flags(alignment) | MALLOCX_TCACHE_NONE);
  }

  // Frees all blocks at once, in time that depends on how much memory they take, not on how many
  // they are. The arena stays usable. Destructors of objects in them aren't called.
  void reset() noexcept { detail::act_on_arena("arena.0.reset", index_); }

 private:
  static constexpr unsigned kNone = 0;  // the heap of all threads, which nobody makes

  unsigned index_ = kNone;
};

// [mem.res.class] over an arena, which must outlive it. Equal to those over the same arena.
class arena_resource final : public std::pmr::memory_resource {
 public:
  explicit arena_resource(arena& from) noexcept : arena_(&from) {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return arena_->allocate(bytes, alignment);
  }

  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    arena_->deallocate(block, bytes, alignment);
  }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
#ifdef __cpp_rtti
    const auto* same = dynamic_cast<const arena_resource*>(&other);
    return same != nullptr && same->arena_ == arena_;
#else
    return this == &other;
#endif
  }

  arena* arena_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_SPANMALLOC_HPP_
