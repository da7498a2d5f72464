// SPDX-License-Identifier: Apache-2.0
//
// KernelMemory against the contract in virtual_memory.h, on the real kernel. What became of a
// range is read from mincore and through a pipe, which tells whether memory can be read or written
// without a fault.
#include "allocator/os/virtual_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "allocator/os/process.h"
#include "gtest/gtest.h"
#include "tests/support/huge_page_settings.h"

namespace spanmalloc::os {
namespace {

class VirtualMemoryTest : public testing::Test {
 protected:
  VirtualMemoryTest() { EXPECT_EQ(pipe2(pipe_, O_NONBLOCK), 0); }
  ~VirtualMemoryTest() {
    close(pipe_[0]);
    close(pipe_[1]);
  }

  bool IsReadable(const void* address) {
    char byte;
    return write(pipe_[1], address, 1) == 1 && read(pipe_[0], &byte, 1) == 1;
  }
  // Reads a byte of the pipe into `address`: what was there is replaced.
  bool IsWritable(void* address) {
    const char byte = 1;
    EXPECT_EQ(write(pipe_[1], &byte, 1), 1);
    const bool written = read(pipe_[0], address, 1) == 1;
    char rest;
    if (!written) EXPECT_EQ(read(pipe_[0], &rest, 1), 1);
    return written;
  }
  bool IsMapped(const void* address) {
    unsigned char resident;
    return mincore(const_cast<void*>(address), 1, &resident) == 0;
  }

  // Addresses with nothing there.
  char* Nowhere(size_t size) {
    void* address = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(address, MAP_FAILED);
    munmap(address, size);
    return static_cast<char*>(address);
  }

  char* Filled(size_t size, unsigned seed) {
    auto* memory = static_cast<char*>(memory_.Map(size));
    EXPECT_NE(memory, nullptr);
    Fill(memory, size, seed);
    return memory;
  }
  static char Pattern(size_t i, unsigned seed) {
    return static_cast<char>(i * 31 + i / 4096 + seed);
  }
  static void Fill(char* memory, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; ++i) memory[i] = Pattern(i, seed);
  }
  static bool Holds(const char* memory, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; ++i) {
      if (memory[i] != Pattern(i, seed)) return false;
    }
    return true;
  }
  static bool IsZero(const char* memory, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      if (memory[i] != 0) return false;
    }
    return true;
  }

  // Moves what Filled(size_, 1) returned; the contents must be in one piece at either end.
  void ExpectMovedAsAWholeOrNot(char* from, char* to) {
    if (memory_.Move(from, to, size_)) {
      EXPECT_TRUE(Holds(to, size_, 1));
      EXPECT_FALSE(IsMapped(from));
      EXPECT_FALSE(IsMapped(from + size_ - page_));
    } else {
      EXPECT_TRUE(Holds(from, size_, 1));
      EXPECT_TRUE(memory_.Unmap(from, size_));
    }
    EXPECT_TRUE(IsWritable(to));
    EXPECT_TRUE(IsWritable(to + size_ - 1));
    EXPECT_TRUE(memory_.Unmap(to, size_));
  }

  // Has a userfaultfd watch a range.
  static bool Watch(int watcher, void* address, size_t size) {
    uffdio_api api = {};
    api.api = UFFD_API;
    uffdio_register range = {};
    range.range = {reinterpret_cast<uintptr_t>(address), size};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    return ioctl(watcher, UFFDIO_API, &api) == 0 && ioctl(watcher, UFFDIO_REGISTER, &range) == 0;
  }

  // Has the kernel refuse a call to this process from now on. False if it doesn't do that.
  static bool Deny(int call) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
  }

  // Whether a core dump would hold the mapping at `address`.
  static bool IsDumped(const void* address) {
    const auto wanted = reinterpret_cast<uintptr_t>(address);
    std::ifstream maps("/proc/self/smaps");
    bool here = false;
    for (std::string line; std::getline(maps, line);) {
      uintptr_t begin = 0;
      uintptr_t end = 0;
      if (sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) here = wanted - begin < end - begin;
      if (here && line.starts_with("VmFlags:")) return line.find(" dd") == std::string::npos;
    }
    ADD_FAILURE() << "no mapping at " << address;
    return false;
  }

  const size_t page_ = SystemPageSize();
  const size_t size_ = 16 * page_;
  KernelMemory memory_;
  int pipe_[2];
};

TEST_F(VirtualMemoryTest, MappedMemoryIsZeroAndWritable) {
  auto* memory = static_cast<char*>(memory_.Map(size_));
  ASSERT_NE(memory, nullptr);
  EXPECT_TRUE(IsZero(memory, size_));
  EXPECT_TRUE(IsWritable(memory + size_ - 1));
  EXPECT_TRUE(memory_.Unmap(memory, size_));
  EXPECT_FALSE(IsMapped(memory));
}

TEST_F(VirtualMemoryTest, CoreDumpsLeaveOutWhatIsReserved) {
  auto* memory = static_cast<char*>(memory_.Reserve(size_));
  ASSERT_NE(memory, nullptr);
  EXPECT_FALSE(IsDumped(memory));
  EXPECT_TRUE(memory_.Commit(memory + page_, 2 * page_));
  EXPECT_FALSE(IsDumped(memory));
  EXPECT_TRUE(IsDumped(memory + page_));
  EXPECT_FALSE(IsDumped(memory + 3 * page_));
  EXPECT_TRUE(memory_.Unmap(memory, size_));
}

TEST_F(VirtualMemoryTest, ThePageSizeIsTheSystems) { EXPECT_EQ(memory_.PageSize(), page_); }

TEST_F(VirtualMemoryTest, ReservedMemoryReadsZeroAndIsWritableOnceCommitted) {
  auto* memory = static_cast<char*>(memory_.Reserve(size_));
  ASSERT_NE(memory, nullptr);
  EXPECT_TRUE(IsReadable(memory));
  EXPECT_FALSE(IsWritable(memory));
  EXPECT_TRUE(memory_.Commit(memory + page_, 2 * page_));
  EXPECT_FALSE(IsWritable(memory));
  EXPECT_TRUE(IsZero(memory, size_));
  EXPECT_TRUE(IsWritable(memory + page_));
  EXPECT_TRUE(IsWritable(memory + 3 * page_ - 1));
  EXPECT_FALSE(IsWritable(memory + 3 * page_));
  EXPECT_TRUE(memory_.Unmap(memory, size_));
}

TEST_F(VirtualMemoryTest, MapAtTakesExactlyThatRangeOrNothing) {
  char* const nowhere = Nowhere(size_);
  ASSERT_TRUE(memory_.MapAt(nowhere, page_));
  Fill(nowhere, page_, 5);
  EXPECT_FALSE(memory_.MapAt(nowhere, page_)) << "in use";
  EXPECT_FALSE(memory_.MapAt(nowhere - page_, 2 * page_)) << "its end is in use";
  EXPECT_TRUE(Holds(nowhere, page_, 5)) << "somebody else's memory was replaced";
  EXPECT_TRUE(memory_.MapAt(nowhere + page_, page_));
  EXPECT_TRUE(memory_.Unmap(nowhere, 2 * page_));
}

TEST_F(VirtualMemoryTest, ImpossibleRequestsAreRefusedWithErrnoLeftAlone) {
  errno = 99;
  EXPECT_EQ(memory_.Map(size_t{1} << 60), nullptr);
  EXPECT_EQ(memory_.Reserve(size_t{1} << 60), nullptr);
  EXPECT_FALSE(memory_.MapAt(reinterpret_cast<void*>(uintptr_t{1} << 62), page_));
  char* const nowhere = Nowhere(size_);
  EXPECT_FALSE(memory_.Commit(nowhere, page_));
  EXPECT_FALSE(memory_.Release(nowhere, page_));
  EXPECT_FALSE(memory_.AdviseHugePages(nowhere, page_, true));
  EXPECT_FALSE(memory_.Unmap(nowhere + 1, page_));
  EXPECT_EQ(errno, 99);
}

TEST_F(VirtualMemoryTest, ReleasedAndMappedOverMemoryReadsZero) {
  char* const memory = Filled(size_, 1);
  EXPECT_TRUE(memory_.Release(memory + page_, page_));
  EXPECT_TRUE(IsZero(memory + page_, page_));
  EXPECT_TRUE(Holds(memory, page_, 1));
  Fill(memory, size_, 2);
  EXPECT_TRUE(memory_.MapOver(memory + page_, page_));
  EXPECT_TRUE(IsZero(memory + page_, page_));
  EXPECT_TRUE(Holds(memory, page_, 2));
  EXPECT_TRUE(IsWritable(memory + page_));
  EXPECT_TRUE(memory_.Unmap(memory, size_));
}

TEST_F(VirtualMemoryTest, ReleaseOfLockedMemoryIsRefusedAndKeepsTheContents) {
  char* const memory = Filled(page_, 1);
  // Past the C library: sanitizers make its mlock do nothing.
  if (syscall(SYS_mlock, memory, page_) != 0) GTEST_SKIP() << "mlock: " << strerror(errno);
  EXPECT_FALSE(memory_.Release(memory, page_));
  EXPECT_TRUE(Holds(memory, page_, 1));
  EXPECT_TRUE(memory_.Unmap(memory, page_));
}

TEST_F(VirtualMemoryTest, AdviceKeepsTheContents) {
  char* const memory = Filled(size_, 1);
  memory_.AdviseHugePages(memory, size_, true);
  memory_.AdviseHugePages(memory, size_, false);
  EXPECT_TRUE(Holds(memory, size_, 1));
  EXPECT_TRUE(memory_.Unmap(memory, size_));
}

char* write_protected;
size_t write_protected_size;
constexpr uint64_t kSleepNs = 300'000'000;

void SleepAndAllowWrites(int) {
  const timespec sleep = {.tv_sec = 0, .tv_nsec = static_cast<long>(kSleepNs)};
  nanosleep(&sleep, nullptr);
  mprotect(write_protected, write_protected_size, PROT_READ | PROT_WRITE);
}

// A busy machine must not look like a slow kernel.
TEST_F(VirtualMemoryTest, ATouchTakesAsLongAsTheThreadHasTheCpu) {
  write_protected = Filled(page_, 1);
  write_protected_size = page_;
  ASSERT_EQ(mprotect(write_protected, page_, PROT_READ), 0);
  struct sigaction handler = {};
  struct sigaction before = {};
  handler.sa_handler = SleepAndAllowWrites;
  ASSERT_EQ(sigaction(SIGSEGV, &handler, &before), 0);
  const uint64_t took = memory_.TouchNs(write_protected);
  ASSERT_EQ(sigaction(SIGSEGV, &before, nullptr), 0);
  EXPECT_GT(took, 0u);
  EXPECT_LT(took, kSleepNs);
  EXPECT_EQ(*write_protected, 0);
  EXPECT_TRUE(memory_.Unmap(write_protected, page_));
}

TEST_F(VirtualMemoryTest, MoveReplacesTheTargetAndUnmapsTheSource) {
  char* const from = Filled(size_, 1);
  char* const to = Filled(3 * size_, 2);
  ASSERT_TRUE(memory_.Move(from, to + size_, size_));
  EXPECT_TRUE(Holds(to + size_, size_, 1));
  EXPECT_TRUE(Holds(to, size_, 2));
  EXPECT_FALSE(IsMapped(from));
  EXPECT_FALSE(IsMapped(from + size_ - page_));
  EXPECT_TRUE(IsWritable(to + size_));
  EXPECT_TRUE(memory_.Unmap(to, 3 * size_));
}

// Two mappings side by side that can't merge. Kernels differ in whether such a move succeeds.
TEST_F(VirtualMemoryTest, MoveAcrossTwoMappingsMovesAllOrNothing) {
  char* const from = Filled(size_, 1);
  ASSERT_EQ(madvise(from + size_ / 2, size_ / 2, MADV_DONTFORK), 0);  // splits the mapping
  char* const to = Filled(size_, 2);
  ExpectMovedAsAWholeOrNot(from, to);
}

TEST_F(VirtualMemoryTest, RefusedMoveLeavesTheSourceAndAMappedTarget) {
  char* const from = Filled(size_, 1);
  char* const both = Filled(2 * size_, 2);
  // The kernel refuses ranges that overlap.
  EXPECT_FALSE(memory_.Move(both, both + size_ / 2, size_));
  EXPECT_TRUE(Holds(from, size_, 1));
  EXPECT_TRUE(IsWritable(both + 2 * size_ - 1));
  EXPECT_TRUE(memory_.Unmap(both, 2 * size_));
  EXPECT_TRUE(memory_.Unmap(from, size_));
}

// A source whose second half the kernel moves under no condition together with the first: half of
// it watched by a userfaultfd. Newer kernels have moved the first half by then.
TEST_F(VirtualMemoryTest, MoveThatFailsHalfwayKeepsTheContents) {
  const int watcher = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
  if (watcher < 0) GTEST_SKIP() << "userfaultfd: " << strerror(errno);
  char* const from = Filled(size_, 1);
  if (!Watch(watcher, from + size_ / 2, size_ / 2)) {
    GTEST_SKIP() << "userfaultfd: " << strerror(errno);
  }
  char* const to = Filled(size_, 2);
  ExpectMovedAsAWholeOrNot(from, to);
  close(watcher);
}

// As above, and the kernel refuses to unmap what was copied: the block is where it was to go.
TEST_F(VirtualMemoryTest, MoveThatFailsHalfwayKeepsTheContentsWhereNothingIsUnmapped) {
  // (A child's memory isn't watched by a userfaultfd of its parent's.)
  const auto moves = [this] {
    const int watcher = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
    char* const from = Filled(size_, 1);
    char* const to = Filled(size_, 2);
    if (!Watch(watcher, from + size_ / 2, size_ / 2) || !Deny(SYS_munmap)) return true;
    return Holds(memory_.Move(from, to, size_) ? to : from, size_, 1);
  };
  EXPECT_EXIT(_exit(moves() ? 0 : 1), testing::ExitedWithCode(0), "");
}

TEST_F(VirtualMemoryTest, SandboxedMoveLeavesTheSourceAndAMappedTarget) {
  char* const from = Filled(size_, 1);
  char* const to = Filled(size_, 2);
  for (const auto& calls : {std::vector<int>{SYS_mremap},
                            {SYS_mremap, SYS_mincore},
                            {SYS_mremap, SYS_mmap},
                            {SYS_mremap, SYS_mmap, SYS_mincore, SYS_madvise}}) {
    const auto stays = [&] {
      for (int call : calls) {
        if (!Deny(call)) return true;
      }
      return !memory_.Move(from, to, size_) && Holds(from, size_, 1) && IsWritable(to);
    };
    EXPECT_EXIT(_exit(stays() ? 0 : 1), testing::ExitedWithCode(0), "") << calls.size();
  }
}

TEST_F(VirtualMemoryTest, HugePagesThatComeUnaskedAreDeclined) {
  const HugePageSettings settings("[always] madvise never", "2097152");
  KernelMemory memory(settings.folder());
  char* const nowhere = Nowhere(3 * size_);
  ASSERT_TRUE(memory.MapAt(nowhere, size_));
  ASSERT_TRUE(memory.MapAt(nowhere + size_, 2 * size_));
  if (FlagsOf(nowhere).empty()) GTEST_SKIP() << "no /proc/self/smaps";
  EXPECT_TRUE(IsDeclined(nowhere));
  EXPECT_TRUE(IsDeclined(nowhere + size_));
  EXPECT_TRUE(memory.GivesHugePages());
  memory.AdviseHugePages(nowhere + size_, size_, true);
  EXPECT_TRUE(IsAsked(nowhere + size_));
  EXPECT_TRUE(memory.MapOver(nowhere + size_, size_));
  EXPECT_TRUE(IsDeclined(nowhere + size_));
  EXPECT_TRUE(memory.Unmap(nowhere, 3 * size_));
}

TEST_F(VirtualMemoryTest, HugePagesThatComeOnlyOnRequestNeedNotBeDeclined) {
  const HugePageSettings settings("always [madvise] never", "2097152");
  KernelMemory memory(settings.folder());
  char* const nowhere = Nowhere(3 * size_);
  ASSERT_TRUE(memory.MapAt(nowhere, size_));
  ASSERT_TRUE(memory.MapAt(nowhere + size_, 2 * size_));
  if (FlagsOf(nowhere).empty()) GTEST_SKIP() << "no /proc/self/smaps";
  EXPECT_TRUE(IsDeclined(nowhere)) << "the first time the setting isn't read";
  EXPECT_FALSE(IsDeclined(nowhere + size_));
  EXPECT_TRUE(memory.GivesHugePages());
  EXPECT_TRUE(memory.Unmap(nowhere, 3 * size_));
}

TEST_F(VirtualMemoryTest, WithoutHugePagesOfTheHeapsSizeNoneAreGiven) {
  {
    const HugePageSettings settings("always madvise [never]", "2097152");
    EXPECT_FALSE(KernelMemory(settings.folder()).GivesHugePages());
  }
  {
    const HugePageSettings settings("[always] madvise never", "33554432");
    EXPECT_FALSE(KernelMemory(settings.folder()).GivesHugePages());
  }
  EXPECT_FALSE(KernelMemory("/nonexistent/").GivesHugePages());
  EXPECT_FALSE(KernelMemory(std::string(300, '/').c_str()).GivesHugePages());
}

}  // namespace
}  // namespace spanmalloc::os
