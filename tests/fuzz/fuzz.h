// SPDX-License-Identifier: Apache-2.0
//
// What the fuzz programs share: a source of choices that a seed determines, and the loop over
// seeds. A failure names its seed; --first_seed=<it> --iterations=1 repeats it.
#ifndef SPANMALLOC_TESTS_FUZZ_FUZZ_H_
#define SPANMALLOC_TESTS_FUZZ_FUZZ_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>

namespace spanmalloc {

class Choices {
 public:
  explicit Choices(uint64_t seed) : random_(seed) {}

  // A number below `end`.
  size_t Below(size_t end) { return random_() % end; }
  bool OneIn(size_t n) { return Below(n) == 0; }
  // A number from 1 to `most`, small ones as likely as large ones.
  size_t Magnitude(size_t most) {
    size_t bits = 0;
    while ((most >> bits) != 0) ++bits;
    const size_t n = 1 + Below(size_t{1} << Below(bits + 1));
    return n < most ? n : most;
  }
  // An element of a map or vector that isn't empty.
  template <typename Container>
  auto Pick(Container& container) {
    auto it = container.begin();
    std::advance(it, Below(container.size()));
    return it;
  }

 private:
  std::mt19937_64 random_;
};

// Runs `round` with one seed after the other, --iterations of them or else `usual`, until one
// fails.
void ForEachSeed(int usual, void (*round)(Choices& choices));

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_FUZZ_FUZZ_H_
