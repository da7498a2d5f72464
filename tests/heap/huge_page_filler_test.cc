// SPDX-License-Identifier: Apache-2.0
//
// The filler's best fit against a multiset of the longest runs it holds.
#include "allocator/heap/huge_page_filler.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

TEST(HugePageFillerTest, EmptyFillerFindsNothing) {
  auto filler = std::make_unique<HugePageFiller>();
  for (size_t pages = 0; pages <= kPagesPerHugePage; ++pages) {
    EXPECT_EQ(filler->Find(pages), nullptr);
  }
  EXPECT_EQ(filler->Roomiest(), nullptr);
}

TEST(HugePageFillerTest, FindsTheTightestFit) {
  auto filler = std::make_unique<HugePageFiller>();
  std::vector<HugePage> pages(300);
  std::vector<bool> inserted(pages.size());
  std::multiset<size_t> model;
  std::mt19937 random(2);
  for (int step = 0; step < 20000; ++step) {
    const size_t i = random() % pages.size();
    if (inserted[i]) {
      filler->Remove(&pages[i]);
      model.erase(model.find(pages[i].longest_free));
    } else {
      pages[i].longest_free = static_cast<uint16_t>(random() % (kPagesPerHugePage + 1));
      filler->Insert(&pages[i]);
      model.insert(pages[i].longest_free);
    }
    inserted[i] = !inserted[i];
    const size_t want = random() % (kPagesPerHugePage + 1);
    const auto expected = model.lower_bound(want);
    const HugePage* found = filler->Find(want);
    ASSERT_EQ(found == nullptr, expected == model.end());
    if (found != nullptr) ASSERT_EQ(found->longest_free, *expected);
    const HugePage* roomiest = filler->Roomiest();
    ASSERT_EQ(roomiest == nullptr, model.empty());
    if (roomiest != nullptr) ASSERT_EQ(roomiest->longest_free, *model.rbegin());
  }
}

TEST(HugePageFillerTest, WhatIsUpdatedComesFirst) {
  auto filler = std::make_unique<HugePageFiller>();
  std::vector<HugePage> pages(3);
  for (HugePage& page : pages) {
    page.longest_free = 5;
    filler->Insert(&page);
  }
  EXPECT_EQ(filler->Find(5), &pages[2]);
  filler->Update(&pages[0], 5);
  EXPECT_EQ(filler->Find(5), &pages[0]);
  filler->Update(&pages[0], 5);
  EXPECT_EQ(filler->Find(5), &pages[0]);
  filler->Update(&pages[0], 4);
  EXPECT_EQ(filler->Find(5), &pages[2]);
  EXPECT_EQ(filler->Find(4), &pages[0]);
  filler->Update(&pages[1], 9);
  EXPECT_EQ(filler->Roomiest(), &pages[1]);
}

TEST(HugePageFillerTest, VisitsEachPageOnceLongestRunsFirst) {
  auto filler = std::make_unique<HugePageFiller>();
  std::vector<HugePage> pages(kPagesPerHugePage + 1);
  for (size_t i = 0; i < pages.size(); ++i) {
    pages[i].longest_free = static_cast<uint16_t>(i);
    filler->Insert(&pages[i]);
  }
  std::vector<const HugePage*> visited;
  filler->ForEachWithFree([&](HugePage* page) { visited.push_back(page); });
  ASSERT_EQ(visited.size(), kPagesPerHugePage);
  for (size_t i = 0; i < visited.size(); ++i) EXPECT_EQ(visited[i], &pages[pages.size() - 1 - i]);
  visited.clear();
  filler->ForEach([&](HugePage* page) { visited.push_back(page); });
  EXPECT_EQ(visited.size(), pages.size());
  EXPECT_EQ(visited.back(), &pages[0]);
}

TEST(HugePageTest, CountsFreePagesThatAreDirty) {
  auto page = std::make_unique<HugePage>();
  EXPECT_EQ(page->FreeDirtyPages(), 0u);
  page->dirty.SetRange(10, 100);
  EXPECT_EQ(page->FreeDirtyPages(), 100u);
  page->used.SetRange(60, 10);
  page->used.SetRange(200, 10);
  EXPECT_EQ(page->FreeDirtyPages(), 90u);
}

}  // namespace
}  // namespace spanmalloc
