// SPDX-License-Identifier: Apache-2.0
//
// The statistics dump: headings in the order that scripts look for them, one piece for what fits,
// letters that leave parts out, and a callback that may itself ask for statistics.
#include "allocator/control/stats_print.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "allocator/control/mallctl.h"
#include "allocator/control/stats_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/telemetry/test_heap.h"

namespace spanmalloc {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

void Append(void* pieces, const char* piece) {
  static_cast<std::vector<std::string>*>(pieces)->emplace_back(piece);
}

class StatsPrintTest : public ::testing::Test {
 protected:
  StatsPrintTest() { heap_->page_heap.AllocateLarge(1000, kPageSize); }

  std::string Print(const char* letters) {
    std::vector<std::string> pieces;
    PrintStats(control_, Append, &pieces, letters);
    std::string all;
    for (const std::string& piece : pieces) all += piece;
    if (all.size() < 64 * 1024) {
      EXPECT_EQ(pieces.size(), 1u) << "small outputs arrive in one piece";
    }
    return all;
  }

  // Less the figures that change by themselves: the resident memory of this very process.
  std::string PrintSteady(const char* letters) {
    std::string all = Print(letters);
    for (const char* row : {"not the allocator's", "resident memory of the process"}) {
      const size_t at = all.find(row);
      EXPECT_NE(at, std::string::npos);
      if (at != std::string::npos) all.erase(at, all.find('\n', at) - at);
    }
    return all;
  }

  std::unique_ptr<TestHeap> heap_ = std::make_unique<TestHeap>();
  Options options_;
  ControlNumbers numbers_;
  Control control_{{.sources = heap_->sources(), .options = options_}, numbers_};
};

TEST_F(StatsPrintTest, HeadingsStandInOrder) {
  const std::string text = Print(nullptr);
  size_t at = 0;
  for (const char* heading : {"___ Begin jemalloc statistics ___",
                              "Version: \"5.3.0-spanmalloc",
                              "Build-time option settings",
                              "Run-time option settings",
                              "opt.dirty_decay_ms: 2000",
                              "Arenas: 1",
                              "Quantum size: 16",
                              "Page size: 8192",
                              "Maximum thread-cached size class: 262144",
                              "Number of bin size classes: 69",
                              "Number of thread-cache bin size classes: 69",
                              "Number of large size classes: 96",
                              "Allocated: 8192000, active: ",
                              ", metadata: ",
                              " (n_thp 0",
                              "), resident: ",
                              ", mapped: ",
                              ", retained: ",
                              "Background threads: 0",
                              "arenas[0]:",
                              "assigned threads: 0",
                              "decaying:",
                              "dirty:",
                              "muzzy:",
                              "small:",
                              "large:",
                              "total:",
                              "bins:",
                              "large:",
                              "extents:",
                              "spanmalloc: where the resident memory is",
                              "spanmalloc: the other numbers",
                              "spanmalloc.release.sweeps",
                              "--- End jemalloc statistics ---\n"}) {
    const size_t found = text.find(heading, at);
    ASSERT_NE(found, std::string::npos) << heading << " is missing after\n" << text.substr(0, at);
    at = found;
  }
  EXPECT_THAT(text, StartsWith("___ Begin"));
  EXPECT_THAT(text, EndsWith("--- End jemalloc statistics ---\n"));
}

TEST_F(StatsPrintTest, LettersLeavePartsOut) {
  EXPECT_THAT(Print("g"), Not(HasSubstr("Version:")));
  EXPECT_THAT(Print("b"), Not(HasSubstr("bins:")));
  EXPECT_THAT(Print("a"), Not(HasSubstr("arenas[0]:")));
  EXPECT_THAT(Print("a"), HasSubstr("Merged arenas stats:"));
  EXPECT_THAT(Print("ma"), Not(HasSubstr("assigned threads")));
  EXPECT_THAT(Print("e"), Not(HasSubstr("extents:")));
  EXPECT_THAT(Print("x"), Not(HasSubstr("n_lock_ops")));
  EXPECT_EQ(PrintSteady("x?Z d"), PrintSteady("x"));
}

TEST_F(StatsPrintTest, ALetterBringsTheCaches) {
  void* object;
  ASSERT_EQ(heap_->central.Remove(5, &object, 1), 1u);
  heap_->central.Insert(5, &object, 1);
  EXPECT_THAT(Print(""), Not(HasSubstr("the CPUs' lists\n")));
  EXPECT_THAT(Print("c"), HasSubstr("spanmalloc: the CPUs' lists\n"));
  EXPECT_THAT(Print("c"), HasSubstr("num_ops"));
  EXPECT_THAT(Print("c"), HasSubstr("spanmalloc: thread caches\n"));
  EXPECT_THAT(Print("cb"), Not(HasSubstr("spanmalloc: thread caches\n")));
  EXPECT_THAT(Print("J"), Not(HasSubstr("\"cpus\"")));
  EXPECT_THAT(Print("Jcb"), HasSubstr("\"cpus\":[{\"objects\""));
  EXPECT_THAT(Print("Jcb"), Not(HasSubstr("\"classes\"")));
  EXPECT_THAT(Print("Jc"), HasSubstr("\"classes\":[{\"objects\""));
  EXPECT_THAT(Print("O"), Not(HasSubstr("spanmalloc_cpus_")));
  EXPECT_THAT(Print("Oc"), HasSubstr("spanmalloc_cpus_bytes{cpu=\"0\"}"));
  EXPECT_THAT(Print("Oc"), HasSubstr("spanmalloc_cpus_classes_objects{cpu=\"0\",size=\"16\"}"));
}

TEST_F(StatsPrintTest, HugePagesStandByArena) {
  EXPECT_THAT(Print(""), HasSubstr("spanmalloc: huge pages\n"));
  EXPECT_THAT(Print("h"), Not(HasSubstr("spanmalloc: huge pages\n")));
  EXPECT_THAT(Print("J"), HasSubstr("\"arenas\":{\"0\":{\"huge_pages\":{\"mapped\":"));
  EXPECT_THAT(Print("Jh"), Not(HasSubstr("\"huge_pages\"")));
  EXPECT_THAT(Print("O"), HasSubstr("spanmalloc_arenas_cut_huge_pages{arena=\"0\"}"));
}

TEST_F(StatsPrintTest, LettersLeavePartsOfTheJsonOut) {
  EXPECT_THAT(Print("J"), StartsWith("{\"jemalloc\":{\"version\":"));
  EXPECT_THAT(Print("J"), HasSubstr("\"stats.arenas\":{\"0\":{"));
  EXPECT_THAT(Print("Ja"), HasSubstr("\"stats.arenas\":{\"merged\":{"));
  EXPECT_THAT(Print("Jg"), StartsWith("{\"jemalloc\":{\"stats\":{\"allocated\":8192000,"));
  EXPECT_THAT(Print("Jmdablxeg"), Not(HasSubstr("stats.arenas")));
  EXPECT_THAT(Print("J"), Not(HasSubstr("\n")));
}

TEST_F(StatsPrintTest, ThePrintedNumbersAreOfANewEpoch) {
  Print("J");
  heap_->page_heap.AllocateLarge(1000, kPageSize);
  EXPECT_THAT(Print("J"), HasSubstr("\"allocated\":16384000,"));
}

// What the rows of the table say is what the JSON says, and nothing has to be added to the printer
// for a new row to appear.
TEST_F(StatsPrintTest, EveryNameIsInTheJson) {
  const std::string json = Print("J");
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlPath path = CtlPathAt(row);
    const std::string_view top = path.Part(0);
    const bool printed = top == "version" || top == "config" || top == "opt" || top == "arenas" ||
                         top == "stats" || top == "spanmalloc";
    if (!printed || !StatsReader::IsPrintable(row) || path.name == "spanmalloc.names") continue;
    CtlValue value;
    if (!StatsReader(control_, nullptr).Read(row, {}, &value)) continue;
    std::string key(path.Part(path.depth - 1));
    if (key == "uptime") key = "uptime_ns";
    EXPECT_THAT(json, HasSubstr("\"" + key + "\":")) << path.name;
  }
}

TEST_F(StatsPrintTest, OpenMetricsHasEveryNumberAndAnEnd) {
  const std::string text = Print("O");
  EXPECT_THAT(text, HasSubstr("# TYPE spanmalloc_stats_allocated_bytes gauge\n"
                              "# UNIT spanmalloc_stats_allocated_bytes bytes\n"
                              "# HELP spanmalloc_stats_allocated_bytes Held by the program"));
  EXPECT_THAT(text, HasSubstr("\nspanmalloc_stats_allocated_bytes 8192000\n"));
  EXPECT_THAT(text, HasSubstr("\nspanmalloc_stats_arenas_large_nmalloc_blocks_total"
                              "{arena=\"0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\nspanmalloc_stats_arenas_bins_curregs_blocks"
                              "{arena=\"0\",size=\"262144\"} 0\n"));
  EXPECT_THAT(text, EndsWith("\n# EOF\n"));
  EXPECT_THAT(Print("Obl"), Not(HasSubstr("size=")));
  EXPECT_THAT(Print("Oa"), HasSubstr("arena=\"merged\""));
  EXPECT_THAT(Print("Oma"), Not(HasSubstr("arena=")));
}

TEST_F(StatsPrintTest, TheCallbackMayPrintStatistics) {
  struct Context {
    Control& control;
    std::vector<std::string> inner;
  } context = {control_, {}};
  PrintStats(
      control_,
      [](void* opaque, const char*) {
        auto* seen = static_cast<Context*>(opaque);
        PrintStats(seen->control, Append, &seen->inner, "J");
      },
      &context, "J");
  ASSERT_EQ(context.inner.size(), 1u);
  EXPECT_THAT(context.inner[0], StartsWith("{\"jemalloc\""));
}

// Without memory for the output: the whole of it, in short pieces.
TEST_F(StatsPrintTest, NoMemoryIsNeeded) {
  struct Output {
    size_t pieces = 0;
    size_t size = 0;
    char text[256 * 1024];
  };
  auto output = std::make_unique<Output>();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  const rlimit none = {1, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
  void* mapped = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped != MAP_FAILED) GTEST_SKIP() << "the limit isn't kept here, as under qemu";
  PrintStats(
      control_,
      [](void* opaque, const char* piece) {
        auto* out = static_cast<Output*>(opaque);
        ++out->pieces;
        for (; *piece != '\0'; ++piece) out->text[out->size++] = *piece;
      },
      output.get(), "J");
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  const std::string text(output->text, output->size);
  EXPECT_GT(output->pieces, 10u);
  EXPECT_THAT(text, StartsWith("{\"jemalloc\":{\"version\":"));
  EXPECT_THAT(text, EndsWith("}}"));
  EXPECT_EQ(std::ranges::count(text, '{'), std::ranges::count(text, '}'));
}

TEST_F(StatsPrintTest, AnotherThreadMayPrintMeanwhile) {
  struct Context {
    Control& control;
    std::vector<std::string> others;
  } context = {control_, {}};
  PrintStats(
      control_,
      [](void* opaque, const char*) {
        auto* seen = static_cast<Context*>(opaque);
        std::thread([&] { PrintStats(seen->control, Append, &seen->others, "J"); }).join();
      },
      &context, "J");
  EXPECT_EQ(context.others.size(), 1u);
}

TEST_F(StatsPrintTest, TheCallbackMayAskForStatistics) {
  struct Context {
    Control& control;
    size_t allocated;
  } context = {control_, 0};
  PrintStats(
      control_,
      [](void* opaque, const char*) {
        auto* inner = static_cast<Context*>(opaque);
        size_t length = sizeof(inner->allocated);
        MallctlByName(inner->control, "stats.allocated", &inner->allocated, &length, nullptr, 0);
      },
      &context, "J");
  EXPECT_EQ(context.allocated, 1000 * kPageSize);
}

}  // namespace
}  // namespace spanmalloc
