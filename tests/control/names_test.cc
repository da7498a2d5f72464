// SPDX-License-Identifier: Apache-2.0
//
// The table of names: every row resolves to itself by name and by MIB, and the rows stand in the
// order that the lookup relies on.
#include <errno.h>

#include <memory>
#include <set>
#include <string>

#include "allocator/control/ctl_table.h"
#include "allocator/control/mallctl.h"
#include "gtest/gtest.h"
#include "tests/telemetry/test_heap.h"

namespace spanmalloc {
namespace {

// A name with an index in every place for one.
std::string Instance(std::string name) {
  for (const char* place : {"<i>", "<j>", "<k>", "<e>", "<n>", "<s>"}) {
    const size_t at = name.find(place);
    if (at != std::string::npos) name.replace(at, 3, "0");
  }
  return name;
}

bool IsReadable(const CtlRow& row) {
  return row.access == CtlAccess::kRead || row.access == CtlAccess::kReadWrite ||
         row.access == CtlAccess::kReadOwn || row.access == CtlAccess::kReadOff;
}

ThreadCounts counts;

class NamesTest : public ::testing::Test {
 protected:
  // So that a CPU has lists.
  NamesTest() {
    void* object;
    EXPECT_EQ(heap_->central.Remove(1, &object, 1), 1u);
  }

  std::unique_ptr<TestHeap> heap_ = std::make_unique<TestHeap>();
  Options options_;
  ControlNumbers numbers_;
  Control control_{
      {.sources = heap_->sources(), .options = options_, .thread_counts = [] { return &counts; }},
      numbers_};
};

TEST_F(NamesTest, EveryReadableNameReads) {
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlRow entry = CtlRowAt(row);
    if (!IsReadable(entry)) continue;
    const std::string name = Instance(std::string(entry.name));
    unsigned char value[16];
    size_t length = sizeof(value);  // larger than any value: filled, shortened, EINVAL
    EXPECT_EQ(MallctlByName(control_, name.c_str(), value, &length, nullptr, 0), EINVAL) << name;
    EXPECT_TRUE(length == 1 || length == 4 || length == 8) << name;
    EXPECT_EQ(MallctlByName(control_, name.c_str(), value, &length, nullptr, 0), 0) << name;
  }
}

TEST_F(NamesTest, ANameAndItsMibAreTheSame) {
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlRow entry = CtlRowAt(row);
    if (!IsReadable(entry)) continue;
    const std::string name = Instance(std::string(entry.name));
    size_t mib[kMaxCtlDepth];
    size_t miblen = kMaxCtlDepth;
    ASSERT_EQ(MallctlNameToMib(control_, name.c_str(), mib, &miblen), 0) << name;
    EXPECT_EQ(miblen, CtlPathAt(row).depth) << name;
    EXPECT_EQ(mib[miblen - 1], row) << name;
    uint64_t by_name = 0;
    uint64_t by_mib = 0;
    size_t length = sizeof(by_name);
    MallctlByName(control_, name.c_str(), &by_name, &length, nullptr, 0);
    EXPECT_EQ(MallctlByMib(control_, mib, miblen, &by_mib, &length, nullptr, 0), 0) << name;
    if (entry.name != "approximate_stats.active") {
      EXPECT_EQ(by_name, by_mib) << name;
    }
  }
}

TEST_F(NamesTest, RowsThatShareAStartStandTogether) {
  std::set<std::string> starts;
  std::string previous;
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const std::string name(CtlRowAt(row).name);
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
      const std::string start = name.substr(0, dot + 1);
      if (previous.compare(0, start.size(), start) == 0) continue;
      EXPECT_TRUE(starts.insert(start).second) << name << " stands apart";
    }
    EXPECT_TRUE(starts.insert(name).second) << name << " has two rows";
    previous = name;
  }
}

TEST_F(NamesTest, TheListNamesEveryRow) {
  std::string expected;
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    expected += CtlRowAt(row).name;
    expected += '\n';
    const std::string help = CtlRowAt(row).help;
    EXPECT_EQ(help.back(), '.') << CtlRowAt(row).name;
  }
  EXPECT_EQ(CtlNames(), expected);
}

// What programs that are linked against jemalloc in Debian 12 use.
TEST_F(NamesTest, TheNamesOfTheBinariesOfADistributionAreThere) {
  for (const char* name : {"version",
                           "epoch",
                           "background_thread",
                           "arena.0.purge",
                           "arena.1.purge",
                           "arena.4096.purge",
                           "arena.0.destroy",
                           "arena.0.dirty_decay_ms",
                           "arena.0.muzzy_decay_ms",
                           "arenas.narenas",
                           "arenas.create",
                           "stats.allocated",
                           "stats.active",
                           "stats.metadata",
                           "stats.resident",
                           "stats.mapped",
                           "stats.retained",
                           "stats.metadata_thp",
                           "stats.background_thread.num_threads",
                           "stats.background_thread.num_runs",
                           "stats.background_thread.run_interval"}) {
    size_t mib[kMaxCtlDepth];
    size_t miblen = kMaxCtlDepth;
    ASSERT_EQ(MallctlNameToMib(control_, name, mib, &miblen), 0) << name;
    EXPECT_EQ(CtlPathAt(mib[miblen - 1]).depth, miblen) << name;
  }
}

}  // namespace
}  // namespace spanmalloc
