// SPDX-License-Identifier: Apache-2.0
//
// The option count_requests: every thread counts from its first call on, without being asked, and
// nrequests is exact. Run with SPANMALLOC_CONF=count_requests:true.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace {

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);

template <typename T>
T Read(const std::string& name) {
  static const auto mallctl = reinterpret_cast<Mallctl>(dlsym(RTLD_DEFAULT, "mallctl"));
  uint64_t epoch = 1;
  EXPECT_EQ(mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch)), 0);
  T value = {};
  size_t length = sizeof(value);
  EXPECT_EQ(mallctl(name.c_str(), &value, &length, nullptr, 0), 0) << name;
  return value;
}

uint64_t Requests(size_t bin) {
  return Read<uint64_t>("stats.arenas.0.bins." + std::to_string(bin) + ".nrequests");
}

void* volatile sink;

void Churn(size_t size, int count) {
  for (int i = 0; i < count; ++i) {
    sink = malloc(size);
    free(sink);
  }
}

// A size that nothing else here asks for: the class of 200 KiB, and its bin.
constexpr size_t kSize = 200 * 1024;

size_t BinOf(size_t size) {
  size_t bin = 0;
  while (Read<size_t>("arenas.bin." + std::to_string(bin) + ".size") < size) ++bin;
  return bin;
}

TEST(CountRequestsTest, EveryRequestIsCounted) {
  const size_t bin = BinOf(kSize);
  Churn(kSize, 10);
  const uint64_t before = Requests(bin);
  const uint64_t all = Read<uint64_t>("stats.arenas.0.small.nrequests");
  Churn(kSize, 1000);
  EXPECT_EQ(Requests(bin), before + 1000);
  EXPECT_GE(Read<uint64_t>("stats.arenas.0.small.nrequests"), all + 1000);
  EXPECT_LT(Read<uint64_t>("stats.arenas.0.bins." + std::to_string(bin) + ".nmalloc"), before + 100)
      << "the cache was hit";
}

TEST(CountRequestsTest, ThreadsThatEndedLeaveTheirCounts) {
  const size_t bin = BinOf(kSize);
  const uint64_t before = Requests(bin);
  for (int t = 0; t < 10; ++t) std::thread([] { Churn(kSize, 100); }).join();
  EXPECT_EQ(Requests(bin), before + 1000);
}

TEST(CountRequestsTest, AThreadCountsFromItsFirstCallOn) {
  std::thread([] {
    Churn(kSize, 1);
    EXPECT_TRUE(Read<bool>("spanmalloc.thread.counting"));
    EXPECT_GE(Read<uint64_t>("thread.allocated"), kSize);
    EXPECT_GE(Read<uint64_t>("thread.peak.read"), kSize);
  }).join();
}

TEST(CountRequestsTest, TheFirstCallMayBeLarge) {
  std::thread([] {
    Churn(size_t{8} << 20, 1);
    EXPECT_GE(Read<uint64_t>("thread.deallocated"), size_t{8} << 20);
  }).join();
}

}  // namespace
