// SPDX-License-Identifier: Apache-2.0
//
// The lowest floors: finding a size class, and the bitmap searches of spans and huge pages.
#include <benchmark/benchmark.h>

#include "allocator/params/size_class_map.h"
#include "allocator/util/bitmap.h"

namespace spanmalloc {
namespace {

void BM_SizeClassOf(benchmark::State& state) {
  size_t size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(size);
    benchmark::DoNotOptimize(SizeClassOf(size));
  }
}
BENCHMARK(BM_SizeClassOf)->Arg(100)->Arg(5000)->Arg(100000);

void BM_AlignedSizeClassOf(benchmark::State& state) {
  size_t size = 300;
  for (auto _ : state) {
    benchmark::DoNotOptimize(size);
    benchmark::DoNotOptimize(AlignedSizeClassOf(size, static_cast<size_t>(state.range(0))));
  }
}
BENCHMARK(BM_AlignedSizeClassOf)->Arg(64)->Arg(4096);

// Every second run of `range` pages of a huge page is in use.
void BM_LongestClearRun(benchmark::State& state) {
  Bitmap<256> used;
  const auto length = static_cast<size_t>(state.range(0));
  for (size_t i = 0; i + length <= 256; i += 2 * length) used.SetRange(i, length);
  const size_t clear = 256 - used.Count();
  for (auto _ : state) benchmark::DoNotOptimize(used.LongestClearRun(clear));
}
BENCHMARK(BM_LongestClearRun)->Arg(2)->Arg(16)->Arg(128);

}  // namespace
}  // namespace spanmalloc

BENCHMARK_MAIN();
