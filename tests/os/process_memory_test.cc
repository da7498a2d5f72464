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

}  // namespace
}  // namespace spanmalloc::os
