// SPDX-License-Identifier: Apache-2.0
//
// The huge pages of one kind that are cut into spans, ordered by the longest run of free pages in
// each: a request goes to the page whose longest run fits it best, so long runs, and with them
// pages that may soon be empty, are kept whole. Guarded by the page heap's lock.
#ifndef SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_FILLER_H_
#define SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_FILLER_H_

#include <cstddef>

#include "allocator/heap/huge_page.h"
#include "allocator/util/bitmap.h"
#include "allocator/util/intrusive_list.h"

namespace spanmalloc {

class HugePageFiller {
 public:
  constexpr HugePageFiller() = default;

  // A huge page with a free run of at least `pages`, the best fit; nullptr if there is none.
  HugePage* Find(size_t pages) const {
    const size_t longest = nonempty_.FindSet(pages);
    return longest == nonempty_.kSize ? nullptr : lists_[longest].front();
  }

  // The huge page with the longest free run; nullptr if there is none at all.
  HugePage* Roomiest() const {
    const size_t longest = nonempty_.FindLastSet();
    return longest == nonempty_.kSize ? nullptr : lists_[longest].front();
  }

  // Notes how long the longest free run of a huge page is now; among those with as long a one it
  // comes first.
  void Update(HugePage* huge_page, size_t longest) {
    if (longest == huge_page->longest_free && lists_[longest].front() == huge_page) return;
    Remove(huge_page);
    huge_page->longest_free = static_cast<uint16_t>(longest);
    Insert(huge_page);
  }

  void Insert(HugePage* huge_page) {
    lists_[huge_page->longest_free].PushFront(huge_page);
    nonempty_.Set(huge_page->longest_free);
  }

  void Remove(HugePage* huge_page) {
    lists_[huge_page->longest_free].Remove(huge_page);
    if (lists_[huge_page->longest_free].empty()) nonempty_.Clear(huge_page->longest_free);
  }

  // Calls visit(HugePage*) for each huge page that has free pages, longest runs first. `visit`
  // must not insert or remove.
  template <typename Visit>
  void ForEachWithFree(Visit visit) const {
    for (size_t longest = kPagesPerHugePage; longest > 0; --longest) {
      for (HugePage* page = lists_[longest].front(); page != nullptr; page = page->next) {
        visit(page);
      }
    }
  }

  // As above, and also those with no free page.
  template <typename Visit>
  void ForEach(Visit visit) const {
    ForEachWithFree(visit);
    for (HugePage* page = lists_[0].front(); page != nullptr; page = page->next) visit(page);
  }

 private:
  IntrusiveList<HugePage> lists_[kPagesPerHugePage + 1];
  Bitmap<kPagesPerHugePage + 64> nonempty_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_HEAP_HUGE_PAGE_FILLER_H_
