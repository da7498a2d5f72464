// SPDX-License-Identifier: Apache-2.0
//
// Decides where the kernel is asked for transparent huge pages. One fault then brings 2 MiB, which
// is cheap if the program goes on to use them and a waste if it doesn't. So it is asked only for
// what is likely to be filled: nothing is asked for under some of the memory, the probes, and how
// densely the program fills those earns what may be asked for elsewhere. Large spans and the huge
// pages that are cut are judged apart. A kernel that is slow to find huge pages (it may have to
// move other memory for them, or to get it from a hypervisor) is left in peace for some time.
//
// Does nothing unless the kernel gives huge pages. Called by the page heap when it takes
// or frees whole huge pages, guarded by its lock. (docs/decisions/0006-huge-pages.md)
#ifndef SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_ADVICE_H_
#define SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_ADVICE_H_

#include <cstddef>
#include <cstdint>

#include "allocator/heap/huge_page.h"
#include "allocator/heap/huge_page_pool.h"
#include "allocator/heap/page_map.h"
#include "allocator/heap/span.h"
#include "allocator/os/clock.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/util/attributes.h"

namespace spanmalloc {

enum class HugePageWish : uint8_t { kNever, kOnEvidence, kAlways };

class HugePageAdvice {
 public:
  constexpr HugePageAdvice(os::VirtualMemory& memory, os::Clock& clock, const PageMap& page_map,
                           HugePagePool& pool)
      : memory_(memory), clock_(clock), page_map_(page_map), pool_(pool) {}

  // Nothing is asked for before the first call; nor where the system's pages are larger than the
  // smallest, whose huge pages are others.
  void SetWish(HugePageWish wish) {
    wish_ = memory_.PageSize() == kReleaseUnit ? wish : HugePageWish::kNever;
  }

  // A large span was made of `run`. Unless it is all resident, looks at the probes of up to eight
  // earlier ones: a mincore of at most 2 MiB each.
  void OnLarge(const Span* span, const HugeRun& run);

  // A large span of whole huge pages is about to be freed. Looks at its probe, if it has one.
  void OnFree(const Span* span);

  // A large span is about to be cut short or moved: what it shows is lost.
  void Forget(const Span* span);

  // Clean huge page `index`, with `cut` others before it, is about to be cut into spans of a kind.
  // Looks at up to one probe.
  void OnCut(size_t index, SpanKind kind, size_t cut);

 private:
  // The end of a large span, under which nothing was asked for.
  struct Probe {
    const Span* span;  // nullptr: none
    uintptr_t start;
    size_t bytes;
    size_t worth;  // what it earns if it is dense: twice the huge pages of the span
  };

  // The huge pages of a kind that are cut.
  struct Series {
    size_t probe;  // the latest, by index; 0: none
    size_t age;    // how many were cut since
    bool dense;    // whether the latest that was judged was filled
  };

  static constexpr size_t kProbes = 8;

  bool IsDense(uintptr_t start, size_t bytes) const;
  void ConcludeDense(Probe* probe);
  void Conclude(Probe* probe);
  void AddProbe(const Span* span, size_t unasked_pages);
  bool HasOpenProbes();
  ALLOC_SLOW_PATH bool MayAsk();
  ALLOC_SLOW_PATH void ContinueSeries(size_t index, SpanKind kind, size_t cut);
  void AskAndTry(size_t index, size_t count);

  os::VirtualMemory& memory_;
  os::Clock& clock_;
  const PageMap& page_map_;
  HugePagePool& pool_;
  HugePageWish wish_ = HugePageWish::kNever;
  bool knows_kernel_ = false;  // whether it was found out how the kernel gives huge pages

  // After a huge page took the kernel long, nothing is asked for until `resume_ms_`.
  uint64_t resume_ms_ = 0;
  uint64_t pause_ms_ = 0;

  Probe probes_[kProbes] = {};
  size_t next_probe_ = 0;
  // So many huge pages of large spans may be asked for: none before 16 MiB were dense.
  ptrdiff_t credit_ = -16;
  ptrdiff_t setback_ = 8;  // the debt that the latest sparse span left

  Series series_[kSpanKinds] = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_ADVICE_H_
