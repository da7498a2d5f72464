// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "gtest/gtest.h"

ABSL_FLAG(int, iterations, 0, "rounds, each with a seed of its own; 0: about a second's worth");
ABSL_FLAG(uint64_t, first_seed, 1, "seed of the first round");

namespace spanmalloc {

void ForEachSeed(int usual, void (*round)(Choices& choices)) {
  const int asked = absl::GetFlag(FLAGS_iterations);
  const uint64_t first = absl::GetFlag(FLAGS_first_seed);
  const uint64_t end = first + static_cast<uint64_t>(asked > 0 ? asked : usual);
  for (uint64_t seed = first; seed < end && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "--first_seed=" << seed << " --iterations=1");
    Choices choices(seed);
    round(choices);
  }
}

}  // namespace spanmalloc

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  absl::ParseCommandLine(argc, argv);
  return RUN_ALL_TESTS();
}
