// SPDX-License-Identifier: Apache-2.0
//
// The exact lines that programs get, and how a process ends or carries on after them.
#include "allocator/telemetry/corruption_report.h"

#include <signal.h>
#include <stdlib.h>

#include <cstdint>
#include <string>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

const void* Pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }

std::string Line(const BadPointer& bad) {
  char storage[256];
  TextBuffer line(storage, sizeof(storage));
  DescribeBadPointer(bad, &line);
  return std::string(line.text());
}

BadPointer DoubleFree(uintptr_t address) {
  return {.fault = Fault::kDoubleFree,
          .pointer = Pointer(address),
          .claimed_size = 0,
          .block_size = 64,
          .block_start = nullptr};
}

TEST(CorruptionReportTest, InvalidFree) {
  EXPECT_EQ(Line({.fault = Fault::kNotABlock,
                  .pointer = Pointer(0x7ffe12345678),
                  .claimed_size = 0,
                  .block_size = 0,
                  .block_start = nullptr}),
            "spanmalloc: invalid free: pointer 0x7ffe12345678, expected a block of this heap, "
            "found an address that was never one\n");
}

TEST(CorruptionReportTest, DoubleFreeOfAnObject) {
  EXPECT_EQ(Line(DoubleFree(0x100000012340)),
            "spanmalloc: double free: pointer 0x100000012340, expected a live block of 64 bytes, "
            "found it free already\n");
}

TEST(CorruptionReportTest, DoubleFreeOfPagesOfWhichNothingIsKnown) {
  BadPointer bad = DoubleFree(0x100000012000);
  bad.block_size = 0;
  EXPECT_EQ(Line(bad),
            "spanmalloc: double free: pointer 0x100000012000, expected a live block, found pages "
            "that are free already\n");
}

TEST(CorruptionReportTest, InteriorPointer) {
  EXPECT_EQ(Line({.fault = Fault::kInterior,
                  .pointer = Pointer(0x100000012350),
                  .claimed_size = 0,
                  .block_size = 64,
                  .block_start = Pointer(0x100000012340)}),
            "spanmalloc: interior pointer: pointer 0x100000012350, expected the start of a block, "
            "found the inside of the block of 64 bytes at 0x100000012340\n");
}

TEST(CorruptionReportTest, MisalignedPointer) {
  EXPECT_EQ(Line({.fault = Fault::kMisaligned,
                  .pointer = Pointer(0x100000012341),
                  .claimed_size = 0,
                  .block_size = 64,
                  .block_start = Pointer(0x100000012340)}),
            "spanmalloc: misaligned pointer: pointer 0x100000012341, expected the start of a "
            "block, found the inside of the block of 64 bytes at 0x100000012340\n");
}

TEST(CorruptionReportTest, SizeMismatch) {
  EXPECT_EQ(Line({.fault = Fault::kSizeMismatch,
                  .pointer = Pointer(0x100000012340),
                  .claimed_size = 100,
                  .block_size = 64,
                  .block_start = nullptr}),
            "spanmalloc: size mismatch: pointer 0x100000012340, expected a block made for 100 "
            "bytes, found one of 64\n");
}

// The report has room for its longest line.
TEST(CorruptionReportTest, EveryLineIsWholeWithTheLongestNumbers) {
  for (Fault fault : {Fault::kNotABlock, Fault::kDoubleFree, Fault::kInterior, Fault::kMisaligned,
                      Fault::kSizeMismatch}) {
    const std::string line = Line({.fault = fault,
                                   .pointer = Pointer(UINTPTR_MAX),
                                   .claimed_size = SIZE_MAX,
                                   .block_size = SIZE_MAX,
                                   .block_start = Pointer(UINTPTR_MAX)});
    EXPECT_EQ(line.back(), '\n') << line;
    EXPECT_EQ(line.find('\n'), line.size() - 1) << "more than one line";
  }
}

TEST(CorruptionReportDeathTest, AbortsByDefault) {
  EXPECT_EXIT(ReportBadPointer(DoubleFree(0x100000012340)), testing::KilledBySignal(SIGABRT),
              "^spanmalloc: double free: pointer 0x100000012340, expected a live block of 64 "
              "bytes, found it free already\n");
}

TEST(CorruptionReportDeathTest, CarriesOnWhenToldTo) {
  EXPECT_EXIT(
      {
        SetAbortOnError(false);
        ReportBadPointer(DoubleFree(0x1000));
        ReportBadPointer(DoubleFree(0x2000));
        exit(7);
      },
      testing::ExitedWithCode(7),
      "^spanmalloc: double free: pointer 0x1000,.*\nspanmalloc: double free: pointer 0x2000,.*\n");
}

}  // namespace
}  // namespace spanmalloc
