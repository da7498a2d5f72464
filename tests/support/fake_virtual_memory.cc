// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_virtual_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "allocator/params/memory_geometry.h"
#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
constexpr size_t kRealPage = 4096;

const char* const kNames[] = {"Map",     "MapAt",   "Reserve",         "Commit",   "Unmap",
                              "Release", "MapOver", "AdviseHugePages", "Resident", "Move"};

uintptr_t Address(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

}  // namespace

FakeVirtualMemory::FakeVirtualMemory(size_t arena_bytes) {
  // Twice as much and a huge page, so that one half lies in one aligned block of 4 TiB.
  hold_bytes_ = 2 * arena_bytes + 2 * kHugePageSize;
  void* hold = mmap(nullptr, hold_bytes_, PROT_NONE, kAnonymous, -1, 0);
  if (hold == MAP_FAILED) abort();
  hold_begin_ = Address(hold);
  arena_begin_ = RoundUp(hold_begin_, kHugePageSize);
  arena_end_ = arena_begin_ + arena_bytes;
  if (arena_begin_ / kWindowSize != (arena_end_ - 1) / kWindowSize) {
    arena_begin_ = arena_end_ / kWindowSize * kWindowSize;
    arena_end_ = arena_begin_ + arena_bytes;
  }
}

FakeVirtualMemory::~FakeVirtualMemory() {
  for (auto it = states_.begin(); it != states_.end(); ++it) {
    const auto next = std::next(it);
    if (it->second == State::kUnmapped || next == states_.end()) continue;
    munmap(reinterpret_cast<void*>(it->first), next->first - it->first);
  }
  munmap(reinterpret_cast<void*>(hold_begin_), hold_bytes_);
}

bool FakeVirtualMemory::AllIn(uintptr_t begin, uintptr_t end, State state, bool or_mapped) const {
  for (auto it = std::prev(states_.upper_bound(begin)); it != states_.end() && it->first < end;
       ++it) {
    if (it->second != state && !(or_mapped && it->second == State::kMapped)) return false;
  }
  return true;
}

void FakeVirtualMemory::SetState(uintptr_t begin, uintptr_t end, State state) {
  const State after = std::prev(states_.upper_bound(end))->second;
  states_.erase(states_.lower_bound(begin), states_.upper_bound(end));
  states_[begin] = state;
  states_[end] = after;
}

// Puts fresh pages at an address the fake holds.
void FakeVirtualMemory::Place(uintptr_t begin, uintptr_t end, int protection) {
  if (mmap(reinterpret_cast<void*>(begin), end - begin, protection, kAnonymous | MAP_FIXED, -1,
           0) == MAP_FAILED) {
    abort();
  }
  // Whatever the machine's setting, what is resident is to be what was touched.
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_NOHUGEPAGE);
}

bool FakeVirtualMemory::Refused(Call call) {
  Plan& plan = plans_[call];
  const size_t n = plan.calls++;
  if (n < plan.refuse_begin || n - plan.refuse_begin >= plan.refuse_count) return false;
  ++refused_;
  return true;
}

bool FakeVirtualMemory::Require(Call call, const void* address, size_t size, bool mapped_only) {
  const uintptr_t begin = Address(address);
  const bool good =
      size != 0 && begin % page_size_ == 0 && size % page_size_ == 0 &&
      AllIn(begin, begin + size, mapped_only ? State::kMapped : State::kReserved, !mapped_only);
  if (!good) {
    ADD_FAILURE() << kNames[call] << "(" << address << ", " << size << ") of a range that is not "
                  << (mapped_only ? "mapped" : "reserved or mapped");
  }
  return good;
}

// At a multiple of the page size that the system is to have.
void* FakeVirtualMemory::MapPages(size_t size, int protection) {
  void* whole = mmap(nullptr, size + page_size_, protection, kAnonymous, -1, 0);
  if (whole == MAP_FAILED) return nullptr;
  const uintptr_t begin = RoundUp(Address(whole), page_size_);
  if (begin != Address(whole)) munmap(whole, begin - Address(whole));
  munmap(reinterpret_cast<void*>(begin + size), Address(whole) + page_size_ - begin);
  return reinterpret_cast<void*>(begin);
}

void* FakeVirtualMemory::Map(size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  EXPECT_EQ(size % page_size_, 0u);
  if (Refused(kMap)) return nullptr;
  void* result = MapPages(size, PROT_READ | PROT_WRITE);
  if (result == nullptr) return nullptr;
  SetState(Address(result), Address(result) + size, State::kMapped);
  return result;
}

bool FakeVirtualMemory::MapAt(void* address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  const uintptr_t begin = Address(address);
  EXPECT_EQ((begin | size) % page_size_, 0u);
  if (Refused(kMapAt)) return false;
  if (!InArena(begin, begin + size) || !AllIn(begin, begin + size, State::kUnmapped)) return false;
  for (const auto& [from, to] : occupied_) {
    if (from < begin + size && to > begin) return false;
  }
  Place(begin, begin + size, PROT_READ | PROT_WRITE);
  SetState(begin, begin + size, State::kMapped);
  return true;
}

void* FakeVirtualMemory::Reserve(size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  EXPECT_EQ(size % page_size_, 0u);
  if (Refused(kReserve)) return nullptr;
  void* result = MapPages(size, PROT_READ);
  if (result == nullptr) return nullptr;
  SetState(Address(result), Address(result) + size, State::kReserved);
  return result;
}

bool FakeVirtualMemory::Commit(void* address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  if (!Require(kCommit, address, size, /*mapped_only=*/false) || Refused(kCommit)) return false;
  if (mprotect(address, size, PROT_READ | PROT_WRITE) != 0) return false;
  SetState(Address(address), Address(address) + size, State::kMapped);
  return true;
}

bool FakeVirtualMemory::Unmap(void* address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  if (Refused(kUnmap) || !Require(kUnmap, address, size, /*mapped_only=*/false)) return false;
  const uintptr_t begin = Address(address);
  if (InArena(begin, begin + size)) {
    Place(begin, begin + size, PROT_NONE);
  } else if (munmap(address, size) != 0) {
    return false;
  }
  SetState(begin, begin + size, State::kUnmapped);
  ForgetAdvice(begin, size);
  return true;
}

bool FakeVirtualMemory::Release(void* address, size_t size) {
  if (during_release_ != nullptr) std::exchange(during_release_, nullptr)();
  std::lock_guard<std::mutex> hold(mutex_);
  if (!Require(kRelease, address, size, /*mapped_only=*/true) || Refused(kRelease)) return false;
  return madvise(address, size, MADV_DONTNEED) == 0;
}

bool FakeVirtualMemory::MapOver(void* address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  if (!Require(kMapOver, address, size, /*mapped_only=*/true) || Refused(kMapOver)) return false;
  Place(Address(address), Address(address) + size, PROT_READ | PROT_WRITE);
  ForgetAdvice(Address(address), size);
  return true;
}

bool FakeVirtualMemory::AdviseHugePages(void* address, size_t size, bool wanted) {
  std::lock_guard<std::mutex> hold(mutex_);
  if (Refused(kAdviseHugePages)) return false;
  EXPECT_EQ((Address(address) | size) % kHugePageSize, 0u);
  ForgetAdvice(Address(address), size);
  for (size_t done = 0; wanted && done < size; done += kHugePageSize) {
    advised_.insert(Address(address) + done);
  }
  return AllIn(Address(address), Address(address) + size, State::kMapped);
}

// The memory is real.
size_t FakeVirtualMemory::Resident(const void* address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  if (!Require(kResident, address, size, /*mapped_only=*/true) || Refused(kResident)) return 0;
  std::vector<unsigned char> resident(size / kRealPage);
  if (mincore(const_cast<void*>(address), size, resident.data()) != 0) return 0;
  size_t count = 0;
  for (const unsigned char page : resident) count += page & 1;
  return count * kRealPage;
}

uint64_t FakeVirtualMemory::TouchNs(void* address) {
  *static_cast<char*>(address) = 0;
  return touch_ns_;
}

size_t FakeVirtualMemory::Advised(uintptr_t address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  return static_cast<size_t>(
      std::distance(advised_.lower_bound(address), advised_.lower_bound(address + size)));
}

void FakeVirtualMemory::ForgetAdvice(uintptr_t address, size_t size) {
  advised_.erase(advised_.lower_bound(address), advised_.lower_bound(address + size));
}

bool FakeVirtualMemory::Move(void* from, void* to, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  if (!Require(kMove, from, size, /*mapped_only=*/true) ||
      !Require(kMove, to, size, /*mapped_only=*/true) || Refused(kMove)) {
    return false;
  }
  const uintptr_t begin = Address(from);
  // Kernels before 6.17 move pages of one mapping only.
  if (mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
    Place(Address(to), Address(to) + size, PROT_READ | PROT_WRITE);
    memcpy(to, from, size);
  }
  if (InArena(begin, begin + size)) {
    Place(begin, begin + size, PROT_NONE);
  } else {
    munmap(from, size);
  }
  SetState(begin, begin + size, State::kUnmapped);
  MoveAdvice(begin, Address(to), size);
  return true;
}

// Advice belongs to pages, and goes with them.
void FakeVirtualMemory::MoveAdvice(uintptr_t from, uintptr_t to, size_t size) {
  std::vector<uintptr_t> moved;
  for (auto at = advised_.lower_bound(from); at != advised_.end() && *at < from + size; ++at) {
    moved.push_back((to + (*at - from)) & ~(kHugePageSize - 1));
  }
  ForgetAdvice(from, size);
  ForgetAdvice(to, size);
  advised_.insert(moved.begin(), moved.end());
}

void FakeVirtualMemory::Refuse(Call call, size_t nth, size_t count) {
  std::lock_guard<std::mutex> hold(mutex_);
  plans_[call].refuse_begin = plans_[call].calls + nth - 1;
  plans_[call].refuse_count = count;
}

void FakeVirtualMemory::RefuseNothing() {
  std::lock_guard<std::mutex> hold(mutex_);
  for (Plan& plan : plans_) plan.refuse_count = 0;
}

void FakeVirtualMemory::Occupy(uintptr_t address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  occupied_[address] = address + size;
}

size_t FakeVirtualMemory::calls(Call call) {
  std::lock_guard<std::mutex> hold(mutex_);
  return plans_[call].calls;
}

size_t FakeVirtualMemory::refused() {
  std::lock_guard<std::mutex> hold(mutex_);
  return refused_;
}

bool FakeVirtualMemory::IsAll(State state, const void* address, size_t size) {
  std::lock_guard<std::mutex> hold(mutex_);
  return AllIn(Address(address), Address(address) + size, state);
}

size_t FakeVirtualMemory::mapped_in_arena() {
  std::lock_guard<std::mutex> hold(mutex_);
  size_t total = 0;
  for (auto it = states_.begin(); it != states_.end(); ++it) {
    const auto next = std::next(it);
    if (it->second != State::kMapped || next == states_.end()) continue;
    const uintptr_t begin = it->first > arena_begin_ ? it->first : arena_begin_;
    const uintptr_t end = next->first < arena_end_ ? next->first : arena_end_;
    if (begin < end) total += end - begin;
  }
  return total;
}

}  // namespace spanmalloc
