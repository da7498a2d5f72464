// SPDX-License-Identifier: Apache-2.0
//
// util/intrusive_list.h against a std::list of the same elements.
#include "allocator/util/intrusive_list.h"

#include <algorithm>
#include <list>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

struct Element {
  Element* previous = nullptr;
  Element* next = nullptr;
};

using List = IntrusiveList<Element>;

void ExpectSame(const List& list, const std::list<Element*>& model) {
  ASSERT_EQ(list.empty(), model.empty());
  const Element* previous = nullptr;
  const Element* element = list.front();
  for (const Element* expected : model) {
    ASSERT_EQ(element, expected);
    ASSERT_EQ(element->previous, previous);
    previous = element;
    element = element->next;
  }
  ASSERT_EQ(element, nullptr);
}

TEST(IntrusiveListTest, StartsEmpty) {
  List list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.front(), nullptr);
}

TEST(IntrusiveListTest, LastInIsFirstOut) {
  List list;
  Element elements[3];
  for (Element& e : elements) list.PushFront(&e);
  EXPECT_EQ(list.PopFront(), &elements[2]);
  EXPECT_EQ(list.PopFront(), &elements[1]);
  EXPECT_EQ(list.PopFront(), &elements[0]);
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListTest, RemovedElementsKeepNoLinks) {
  List list;
  Element elements[3];
  for (Element& e : elements) list.PushFront(&e);
  for (Element& e : {std::ref(elements[1]), std::ref(elements[2]), std::ref(elements[0])}) {
    list.Remove(&e);
    EXPECT_EQ(e.previous, nullptr);
    EXPECT_EQ(e.next, nullptr);
  }
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListTest, RandomStepsAgreeWithTheModel) {
  std::mt19937 random(7);
  List list;
  std::list<Element*> model;
  std::vector<Element> elements(40);
  std::vector<bool> listed(elements.size());
  for (int step = 0; step < 20000; ++step) {
    const size_t i = random() % elements.size();
    if (!listed[i]) {
      list.PushFront(&elements[i]);
      model.push_front(&elements[i]);
      listed[i] = true;
    } else if (random() % 4 == 0) {
      Element* front = list.PopFront();
      ASSERT_EQ(front, model.front());
      model.pop_front();
      listed[static_cast<size_t>(front - elements.data())] = false;
    } else {
      list.Remove(&elements[i]);
      model.remove(&elements[i]);
      listed[i] = false;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectSame(list, model)) << "step " << step;
  }
}

}  // namespace
}  // namespace spanmalloc
