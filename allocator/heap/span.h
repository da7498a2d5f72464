// SPDX-License-Identifier: Apache-2.0
//
// A span: a run of pages handed out by the page heap, either cut into objects of one size class or
// given whole to one large request. The descriptor lives apart from the pages; free objects are
// bits in it, so that nothing is ever written into memory the program may still be using, and so
// that a second free of an object, or a pointer to its middle, is seen.
//
// Owners: the page heap while the span is being made or returned; in between a span of a size
// class belongs to the central free list of the shard named in it, whose lock guards every field;
// a large span belongs to the thread that holds its block.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_SPAN_H_
#define SPANMALLOC_ALLOCATOR_HEAP_SPAN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/base/optimization.h"
#include "absl/numeric/bits.h"
#include "allocator/params/memory_geometry.h"
#include "allocator/params/size_class_table.h"
#include "allocator/params/span_shapes.h"
#include "allocator/util/attributes.h"
#include "allocator/util/bitmap.h"
#include "allocator/util/intrusive_list.h"

namespace spanmalloc {

enum class SpanState : uint8_t {
  kLarge,     // one block, larger than every size class
  kDetached,  // of a size class, in no list: full, or on its way between two shards
  kListed,    // of a size class, in its central free list, with free objects
  kPurged,    // of a size class, in no list while a program's hooks give back parts of it
};

struct alignas(kCacheLine) Span {
  // Constant while the span is in use (`pages` of a large span changes as realloc resizes it).
  uintptr_t start;

  Span* previous;
  Span* next;

  uint32_t pages;
  SizeClass size_class;  // kNoSizeClass for a large span

  // Guarded by the owner's lock.
  SpanState state;
  uint8_t list;     // which of the central free list's lists it is in, if kListed
  bool zeroed : 1;  // large: the pages were zero when handed out
  bool moved : 1;   // large: its pages came by mremap, so its mapping can't merge with neighbours
  // Of a size class: one of its objects was once given out as one of another class. Read without
  // the lock by whoever holds such an object.
  bool lent : 1;
  // Of a size class: no object came back yet. They are given out by address, so that the last
  // `free_objects` are free, and the bitmap is zero and wasn't touched.
  bool in_order : 1;
  // Of a size class: its bitmap is long_bitmap. Constant while the span is in use.
  bool bitmap_apart : 1;
  uint16_t free_objects;

  // The shard that owns the span: written under that shard's lock, read without it to find which
  // lock to take, and checked again under it.
  std::atomic<uint16_t> shard;

  // Of a size class: the first bits of Released().
  uint32_t released_first;

  union {
    // Of a size class: the bitmap of its free objects.
    uint64_t free_words[kShortBitmapWords];
    // Of a size class whose bitmap doesn't fit there (bitmap_apart): where it is.
    uint64_t* long_bitmap;
    // Of a size class with spans of more than kPagesOfFirstParts pages: the further bits of
    // Released().
    struct {
      uint64_t words_before[kShortBitmapWords - 1];
      uint32_t released_further;
    };
    // Of a large span; all zero in others that hold a block, or none.
    struct {
      // Whoever holds the block and is `grower`, a thread, takes from the reserve without a lock:
      // that many pages behind the block are kept for it to grow into.
      const void* grower;
      uint32_t reserve;
      uint32_t huge_pages;   // whole huge pages it owns; 0 if it lies in a huge page that is cut
      uint32_t noted_pages;  // of its pages, those that the statistics know of
      uint8_t unlocked_growths;  // times it grew into its reserve, not yet in the statistics
    };
  };

  // Bytes of the bitmap that a span of class `c` has apart from its descriptor; 0: none.
  static size_t LongBitmapBytes(SizeClass c) {
    const SpanShape& shape = ShapeOf(c);
    return shape.long_bitmap ? (size_t{shape.objects} + 63) / 64 * sizeof(uint64_t) : 0;
  }

  const SpanShape& shape() const { return ShapeOf(size_class); }
  size_t objects() const { return shape().objects; }
  size_t object_size() const { return shape().size; }
  size_t bytes() const { return size_t{pages} << kPageShift; }
  bool Contains(uintptr_t address) const { return address - start < bytes(); }
  // Whether one of its objects may have been given out as one of class `c`.
  bool MayHaveLentAs(SizeClass c) const { return lent && MayLend(size_class, c); }
  size_t live_objects() const { return objects() - free_objects; }
  // Requires: the span is of a size class.
  BitmapView free() {
    if (in_order) EndOrder();
    return bits();
  }

  // Of a size class: one bit for each of its parts (of kReleaseUnit bytes) whose memory was given
  // back to the kernel. It holds free objects only.
  uint64_t Released() const {
    if (ABSL_PREDICT_TRUE(pages <= kPagesOfFirstParts)) return released_first;
    return released_first | uint64_t{released_further} << 32;
  }
  void SetReleased(uint64_t parts) {
    released_first = static_cast<uint32_t>(parts);
    if (ABSL_PREDICT_FALSE(pages > kPagesOfFirstParts)) {
      released_further = static_cast<uint32_t>(parts >> 32);
    }
  }

  // Makes a large span hold `wanted` pages out of its reserve. False, and nothing changed, if
  // `caller` isn't its grower or the reserve is too short.
  bool GrowIntoReserve(size_t wanted, const void* caller) {
    if (caller != grower || caller == nullptr || wanted > size_t{pages} + reserve) return false;
    reserve -= static_cast<uint32_t>(wanted - pages);
    pages = static_cast<uint32_t>(wanted);
    ++unlocked_growths;
    return true;
  }

  // Cuts a new span into objects of class `c`, all free. `bitmap`: of LongBitmapBytes(c), all zero.
  void Carve(SizeClass c, uint64_t* bitmap) {
    size_class = c;
    free_objects = static_cast<uint16_t>(objects());
    in_order = true;
    bitmap_apart = bitmap != nullptr;
    for (uint64_t& word : free_words) word = 0;
    if (bitmap_apart) long_bitmap = bitmap;
  }

  // The reverse, for a span that is nobody's any more. Returns the bitmap.
  uint64_t* ForgetObjects() {
    uint64_t* const bitmap = bitmap_apart ? long_bitmap : nullptr;
    for (uint64_t& word : free_words) word = 0;
    return bitmap;
  }

  // Takes up to `want` free objects, lowest addresses first, into `out`. Returns how many.
  size_t TakeObjects(void** out, size_t want) {
    if (want > free_objects) want = free_objects;
    const size_t size = object_size();
    void** const end = out + want;
    if (in_order) {
      uintptr_t address = start + live_objects() * size;
      free_objects -= static_cast<uint16_t>(want);
      for (; out != end; address += size) *out++ = reinterpret_cast<void*>(address);
      return want;
    }
    uint64_t* const free = words();
    for (size_t w = 0; out != end; ++w) {
      uint64_t bits = free[w];
      while (bits != 0 && out != end) {
        // Neighbours at once.
        const auto first = static_cast<size_t>(absl::countr_zero(bits));
        const uint64_t from_first = bits >> first;
        auto count = static_cast<size_t>(absl::countr_one(from_first));
        if (count > static_cast<size_t>(end - out)) count = static_cast<size_t>(end - out);
        bits ^= (~uint64_t{0} >> (64 - count)) << first;
        uintptr_t address = start + (w * 64 + first) * size;
        for (void** const run_end = out + count; out != run_end; address += size) {
          *out++ = reinterpret_cast<void*>(address);
        }
      }
      free[w] = bits;
    }
    free_objects -= static_cast<uint16_t>(want);
    return want;
  }

  // The parts that are no part of an object in use, as in Released(). Requires: the span holds
  // several objects.
  uint64_t FreeParts() {
    uint64_t parts = 0;
    for (size_t part = 0; part < bytes() / kReleaseUnit; ++part) {
      const uintptr_t begin = start + part * kReleaseUnit;
      // Behind the last object nothing is in use either.
      const size_t first = IndexOf(begin);
      const size_t last = IndexOf(begin + kReleaseUnit - 1);
      const size_t in_use = !in_order                ? bits().FindClear(first)
                            : first < live_objects() ? first
                                                     : objects();
      if (in_use > last || in_use >= objects()) parts |= uint64_t{1} << part;
    }
    return parts;
  }

  // Notes that an object of the span is about to be written to.
  void NoteTouched(const void* object) {
    const uintptr_t offset = reinterpret_cast<uintptr_t>(object) - start;
    const size_t first = offset / kReleaseUnit;
    const size_t last = (offset + object_size() - 1) / kReleaseUnit;
    SetReleased(Released() & ~((~uint64_t{0} >> (63 - (last - first))) << first));
  }

  // Whether `pointer` is the start of an object, free or not. Requires: the span is of a size
  // class.
  bool HasObjectAt(const void* pointer) const { return IndexOfStart(pointer) != kNoObject; }

  // Marks pointers[0, count), all of them in the span, as free, up to the first that isn't the
  // start of an object, or whose object is free. Returns how many.
  ALLOC_FAST_PATH size_t PutObjects(void* const* pointers, size_t count) {
    if (ABSL_PREDICT_FALSE(in_order)) EndOrder();
    if (count == 1) return PutObject(pointers[0], shape()) ? 1 : 0;
    return PutSeveral(pointers, count);
  }

  // The same for one object. Requires: `cut` is shape(), and not in_order.
  ALLOC_FAST_PATH bool PutObject(const void* pointer, const SpanShape& cut) {
    const size_t index = IndexOfStart(pointer, cut);
    if (ABSL_PREDICT_FALSE(index == kNoObject || !SetClear(index, WordsOf(cut)))) return false;
    ++free_objects;
    return true;
  }

 private:
  static constexpr size_t kNoObject = ~size_t{0};

  // The index of the object that starts at `pointer`; kNoObject if none does. `cut`: the span's
  // shape().
  size_t IndexOfStart(const void* pointer, const SpanShape& cut) const {
    const uint64_t offset = reinterpret_cast<uintptr_t>(pointer) - start;
    if (ABSL_PREDICT_FALSE(offset > (size_t{cut.objects} - 1) * cut.size)) return kNoObject;
    // The index is in the upper half; a start has less than the reciprocal in the lower.
    const uint64_t scale = cut.reciprocal;
    const uint64_t product = offset * scale;
    if (ABSL_PREDICT_FALSE(static_cast<uint32_t>(product) >= scale)) return kNoObject;
    return product >> 32;
  }
  size_t IndexOfStart(const void* pointer) const { return IndexOfStart(pointer, shape()); }

  size_t PutSeveral(void* const* pointers, size_t count) {
    const size_t end = objects();
    const uint64_t size = object_size();
    size_t done = 0;
    while (done < count) {
      const size_t index = IndexOfStart(pointers[done]);
      if (ABSL_PREDICT_FALSE(index == kNoObject)) break;
      // Objects that are freed together are mostly neighbours, in either order.
      const size_t neighbours = CountNeighbours(pointers + done, count - done, size);
      if (neighbours > 1) {
        const bool ascending = pointers[done] < pointers[done + 1];
        const size_t room = ascending ? end - index : index + 1;
        const size_t run = neighbours < room ? neighbours : room;
        if (ABSL_PREDICT_TRUE(SetClearRange(ascending ? index : index + 1 - run, run))) {
          done += run;
          continue;
        }
      }
      if (ABSL_PREDICT_FALSE(!SetClear(index))) break;
      ++done;
    }
    free_objects += static_cast<uint16_t>(done);
    return done;
  }

  // Sets a bit if it is clear.
  bool SetClear(size_t index) { return SetClear(index, words()); }
  static bool SetClear(size_t index, uint64_t* words) {
    uint64_t& word = words[index / 64];
    const uint64_t bit = uint64_t{1} << (index % 64);
    if (ABSL_PREDICT_FALSE((word & bit) != 0)) return false;
    word |= bit;
    return true;
  }

  // How many of pointers[0, count), which aren't none, follow each other at a distance of `size`,
  // all upwards or all downwards.
  static size_t CountNeighbours(void* const* pointers, size_t count, uint64_t size) {
    if (count == 1) return 1;
    const auto first = reinterpret_cast<uintptr_t>(pointers[0]);
    const uint64_t step = reinterpret_cast<uintptr_t>(pointers[1]) - first;
    if (step != size && step != -size) return 1;
    uintptr_t next = first + step;
    size_t i = 1;
    do next += step;
    while (++i < count && reinterpret_cast<uintptr_t>(pointers[i]) == next);
    return i;
  }

  // Sets bits [begin, begin + count) if all are clear.
  bool SetClearRange(size_t begin, size_t count) {
    bool clear = true;
    bitmap_internal::ForRange(words(), begin, count, [&clear](uint64_t& word, uint64_t mask) {
      clear = clear && (word & mask) == 0;
    });
    if (ABSL_PREDICT_TRUE(clear)) bits().SetRange(begin, count);
    return clear;
  }

  // From now on the bitmap tells what is free. Requires: in_order.
  ALLOC_SLOW_PATH void EndOrder() {
    in_order = false;
    bits().SetRange(live_objects(), free_objects);
  }

  uint64_t* words() { return bitmap_apart ? long_bitmap : free_words; }
  // The same for who has `cut`, the span's shape(), at hand.
  uint64_t* WordsOf(const SpanShape& cut) { return cut.long_bitmap ? long_bitmap : free_words; }
  BitmapView bits() { return {words(), (objects() + 63) / 64 * 64}; }

  size_t IndexOf(uintptr_t address) const {
    return static_cast<size_t>(((address - start) * uint64_t{shape().reciprocal}) >> 32);
  }
};

static_assert(sizeof(Span) == kCacheLine);

// Whether the lower half of offset * reciprocal tells starts of objects, as PutObjects wants it:
// what rounding the reciprocal adds stays below the reciprocal for every offset up to the last
// start.
constexpr bool TellsStarts(const SpanShape& shape) {
  const uint64_t added = uint64_t{shape.size} * shape.reciprocal - (uint64_t{1} << 32);
  return (shape.objects - 1) * added < shape.reciprocal;
}
// What holds for the longest spans holds for shorter ones.
static_assert([] {
  for (size_t c = 1; c < kSizeClassEnd; ++c) {
    const size_t size = kSizeClassTable[c].size;
    const size_t pages = size > kMaxSharedSpanSize ? size / kPageSize : kMaxSharedSpanPages;
    if (!TellsStarts(span_shapes_internal::MakeShape(size, pages))) return false;
  }
  return true;
}());
static_assert(kMaxObjectsPerSpan <= UINT16_MAX);
static_assert(kMaxSharedSpanPages * kPageSize / kReleaseUnit <= 64);  // for Released

using SpanList = IntrusiveList<Span>;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_SPAN_H_
