// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

#include <getopt.h>

#include <cstdio>
#include <cstdlib>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

uint64_t iterations = 0;  // rounds, each with a seed of its own; 0: about a second's worth
uint64_t first_seed = 1;

// By hand: the fuzz programs run under qemu too, and Debian's Abseil is this machine's only.
bool ParseFlags(int argc, char** argv) {
  const option flags[] = {{"iterations", required_argument, nullptr, 'i'},
                          {"first_seed", required_argument, nullptr, 's'},
                          {}};
  for (int flag; (flag = getopt_long(argc, argv, "", flags, nullptr)) != -1;) {
    if (flag == '?') return false;
    (flag == 'i' ? iterations : first_seed) = strtoull(optarg, nullptr, 10);
  }
  return optind == argc;
}

}  // namespace

void ForEachSeed(int usual, void (*round)(Choices& choices)) {
  const uint64_t end = first_seed + (iterations > 0 ? iterations : static_cast<uint64_t>(usual));
  for (uint64_t seed = first_seed; seed < end && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "--first_seed=" << seed << " --iterations=1");
    Choices choices(seed);
    round(choices);
  }
}

}  // namespace spanmalloc

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (!spanmalloc::ParseFlags(argc, argv)) {
    fprintf(stderr, "usage: %s [--iterations=N] [--first_seed=N]\n", argv[0]);
    return 2;
  }
  return RUN_ALL_TESTS();
}
