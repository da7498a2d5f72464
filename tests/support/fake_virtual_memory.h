// SPDX-License-Identifier: Apache-2.0
//
// os::VirtualMemory over real memory, for tests of the heap and what lies above it. It counts the
// calls, holds every caller to the contract (which ranges are unmapped, reserved or mapped) by
// failing the test, and refuses calls when told to.
//
// MapAt serves only the arena: a range of addresses that the fake holds, so that nothing else in
// the process can get in a heap's way and a stray access faults.
#ifndef SPANMALLOC_TESTS_SUPPORT_FAKE_VIRTUAL_MEMORY_H_
#define SPANMALLOC_TESTS_SUPPORT_FAKE_VIRTUAL_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "allocator/os/virtual_memory.h"

namespace spanmalloc {

class FakeVirtualMemory final : public os::VirtualMemory {
 public:
  enum Call {
    kMap,
    kMapAt,
    kReserve,
    kCommit,
    kUnmap,
    kRelease,
    kMapOver,
    kAdviseHugePages,
    kResident,
    kMove,
    kCallKinds,
  };
  enum class State { kUnmapped, kReserved, kMapped };

  // The arena lies within one aligned block of 4 TiB and starts on a huge page.
  explicit FakeVirtualMemory(size_t arena_bytes = size_t{4} << 30);
  ~FakeVirtualMemory();
  FakeVirtualMemory(const FakeVirtualMemory&) = delete;
  FakeVirtualMemory& operator=(const FakeVirtualMemory&) = delete;

  void* Map(size_t size) override;
  bool MapAt(void* address, size_t size) override;
  void* Reserve(size_t size) override;
  bool Commit(void* address, size_t size) override;
  bool Unmap(void* address, size_t size) override;
  bool Release(void* address, size_t size) override;
  bool MapOver(void* address, size_t size) override;
  bool AdviseHugePages(void* address, size_t size, bool wanted) override;
  size_t Resident(const void* address, size_t size) override;
  uint64_t TouchNs(void* address) override;
  bool GivesHugePages() override { return gives_huge_pages_; }
  bool Move(void* from, void* to, size_t size) override;
  size_t PageSize() override { return page_size_; }

  // Makes the system's pages this large: ranges must be multiples of it from now on.
  void SetPageSize(size_t bytes) { page_size_ = bytes; }

  uintptr_t arena_begin() const { return arena_begin_; }
  uintptr_t arena_end() const { return arena_end_; }

  // Refuses `count` calls of a kind, the first of them the `nth` from now (1: the next one).
  void Refuse(Call call, size_t nth, size_t count);
  void RefuseAll(Call call) { Refuse(call, 1, ~size_t{0}); }
  void RefuseNothing();

  // Whether the kernel gives huge pages where they are asked for. At first: no.
  void GiveHugePages() { gives_huge_pages_ = true; }

  // How long TouchNs says that it took.
  void SetTouchNs(uint64_t ns) { touch_ns_ = ns; }

  // Has `act` called during the next Release, as by another thread.
  void DuringNextRelease(std::function<void()> act) { during_release_ = std::move(act); }

  // Makes MapAt find [address, address + size) of the arena taken by somebody else.
  void Occupy(uintptr_t address, size_t size);

  size_t calls(Call call);
  size_t refused();
  // Whether every byte of the range is in `state`.
  bool IsAll(State state, const void* address, size_t size);
  // How many of a range's huge pages are asked for. (What tests ask about begins and ends on one.)
  size_t Advised(uintptr_t address, size_t size);
  // Bytes of the arena that are mapped.
  size_t mapped_in_arena();

 private:
  struct Plan {
    size_t calls = 0;
    size_t refuse_begin = ~size_t{0};
    size_t refuse_count = 0;
  };

  // The rest assumes mutex_.
  bool Refused(Call call);
  bool Require(Call call, const void* address, size_t size, bool mapped_only);
  bool AllIn(uintptr_t begin, uintptr_t end, State state, bool or_mapped = false) const;
  void SetState(uintptr_t begin, uintptr_t end, State state);
  bool InArena(uintptr_t begin, uintptr_t end) const {
    return begin >= arena_begin_ && end <= arena_end_;
  }
  void* MapPages(size_t size, int protection);
  void Place(uintptr_t begin, uintptr_t end, int protection);
  void ForgetAdvice(uintptr_t address, size_t size);
  void MoveAdvice(uintptr_t from, uintptr_t to, size_t size);

  std::mutex mutex_;
  uintptr_t hold_begin_ = 0;  // the mapping that holds the arena's addresses
  size_t hold_bytes_ = 0;
  uintptr_t arena_begin_ = 0;
  uintptr_t arena_end_ = 0;
  Plan plans_[kCallKinds];
  size_t refused_ = 0;
  // The state from each key to the next one.
  std::map<uintptr_t, State> states_{{0, State::kUnmapped}};
  std::map<uintptr_t, uintptr_t> occupied_;  // begin to end
  bool gives_huge_pages_ = false;
  uint64_t touch_ns_ = 0;
  size_t page_size_ = 4096;
  std::function<void()> during_release_;
  std::set<uintptr_t> advised_;  // the huge pages that were asked for
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_FAKE_VIRTUAL_MEMORY_H_
