// SPDX-License-Identifier: Apache-2.0
//
// The process's resident memory, from the kernel's text and from its page tables.
#include "allocator/os/process_memory.h"

#include <sys/mman.h>

#include <cstring>

#include "allocator/os/process.h"
#include "gtest/gtest.h"
#include "tests/support/fake_text_files.h"

namespace spanmalloc::os {
namespace {

TEST(ProcessMemoryTest, ReadsTheSecondNumber) {
  FakeTextFiles files;
  files.files["/proc/self/statm"] = "5000 1234 77 1 0 900 0\n";
  EXPECT_EQ(ProcessResident(files), 1234 * SystemPageSize());
}

TEST(ProcessMemoryTest, NoAnswerIsNone) {
  FakeTextFiles files;
  EXPECT_EQ(ProcessResident(files), 0u);
  for (const char* text : {"", "5000", "5000 ", "x y z"}) {
    files.files["/proc/self/statm"] = text;
    EXPECT_EQ(ProcessResident(files), 0u) << text;
  }
}

TEST(ProcessMemoryTest, TheKernelTells) {
  KernelFiles files;
  EXPECT_GT(ProcessResident(files), size_t{256} << 10);
}

TEST(ProcessMemoryTest, CountsPagesThatArePresent) {
  const size_t page = SystemPageSize();
  const size_t bytes = 200 * page;
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* start = static_cast<char*>(mapped);
  EXPECT_EQ(PresentBytes(start, start + bytes), 0u);
  for (size_t i = 0; i < 200; i += 2) start[i * page] = 1;
  EXPECT_EQ(PresentBytes(start, start + bytes), 100 * page);
  EXPECT_EQ(PresentBytes(start, start + page), page);
  EXPECT_EQ(PresentBytes(start + page, start + 2 * page), 0u);
  EXPECT_EQ(PresentBytes(start, start), 0u);
  munmap(mapped, bytes);
  EXPECT_EQ(PresentBytes(start, start + bytes), 0u);
}

TEST(ProcessMemoryTest, CountsBytesInHugePages) {
  constexpr size_t kHuge = size_t{2} << 20;
  void* mapped =
      mmap(nullptr, 5 * kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  char* start =
      reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(mapped) + kHuge - 1) & ~(kHuge - 1));
  EXPECT_EQ(HugeBytes(start, start + 4 * kHuge), 0u);
  madvise(start, kHuge, MADV_HUGEPAGE);
  madvise(start + kHuge, 3 * kHuge, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < 4; ++i) start[i * kHuge] = 1;
  const size_t found = HugeBytes(start, start + 4 * kHuge);
  EXPECT_EQ(found % kHuge, 0u);
  EXPECT_LE(found, kHuge) << "asked for in one place only";
  EXPECT_EQ(HugeBytes(start + kHuge, start + 4 * kHuge), 0u);
  EXPECT_EQ(HugeBytes(start, start), 0u);
  munmap(mapped, 5 * kHuge);
}

}  // namespace
}  // namespace spanmalloc::os
