// SPDX-License-Identifier: Apache-2.0
//
// A doubly linked list through members `previous` and `next` of its elements. It owns nothing and
// allocates nothing; the lock that guards the owner of the list guards the links.
#ifndef SPANMALLOC_ALLOCATOR_UTIL_INTRUSIVE_LIST_H_
#define SPANMALLOC_ALLOCATOR_UTIL_INTRUSIVE_LIST_H_

namespace spanmalloc {

template <typename T>
class IntrusiveList {
 public:
  constexpr IntrusiveList() = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return head_ == nullptr; }
  T* front() const { return head_; }

  // Requires: `element` is in no list.
  void PushFront(T* element) {
    element->previous = nullptr;
    element->next = head_;
    if (head_ != nullptr) head_->previous = element;
    head_ = element;
  }

  // Requires: `element` is in this list.
  void Remove(T* element) {
    if (element->previous != nullptr) {
      element->previous->next = element->next;
    } else {
      head_ = element->next;
    }
    if (element->next != nullptr) element->next->previous = element->previous;
    element->previous = nullptr;
    element->next = nullptr;
  }

  // Requires: not empty.
  T* PopFront() {
    T* element = head_;
    Remove(element);
    return element;
  }

 private:
  T* head_ = nullptr;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_UTIL_INTRUSIVE_LIST_H_
