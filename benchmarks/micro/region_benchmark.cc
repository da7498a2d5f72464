// SPDX-License-Identifier: Apache-2.0
//
// What an allocation from a region costs, beside std::pmr::monotonic_buffer_resource and malloc:
// per block, in a hot loop over memory that is resident, with what frees the blocks included; and
// how long it takes to fill fresh memory.
//
// The program contains the allocator.

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <spanmalloc/spanmalloc.hpp>
#include <vector>

namespace {

constexpr size_t kBlocks = 1000;  // between resets
constexpr size_t kMiB = size_t{1} << 20;

void BM_Region(benchmark::State& state) {
  spanmalloc::region region(64 * kMiB);
  const auto size = static_cast<size_t>(state.range(0));
  while (state.KeepRunningBatch(kBlocks)) {
    for (size_t i = 0; i < kBlocks; ++i) {
      benchmark::DoNotOptimize(spanmalloc_region_allocate(region.get(), size, 16));
    }
    region.reset();
  }
}
BENCHMARK(BM_Region)->Arg(16)->Arg(64)->Arg(1000);

void BM_RegionCalled(benchmark::State& state) {
  spanmalloc::region region(64 * kMiB);
  const auto size = static_cast<size_t>(state.range(0));
  while (state.KeepRunningBatch(kBlocks)) {
    for (size_t i = 0; i < kBlocks; ++i) {
      benchmark::DoNotOptimize(spanmalloc_region_allocate_slow(region.get(), size, 16));
    }
    region.reset();
  }
}
BENCHMARK(BM_RegionCalled)->Arg(64);

void BM_SharedRegion(benchmark::State& state) {
  static spanmalloc::region region(size_t{1} << 40, /*shared=*/true);
  for (auto _ : state) {
    benchmark::DoNotOptimize(spanmalloc_region_allocate(region.get(), 64, 16));
    // Nobody writes to the blocks: it takes no memory.
  }
}
BENCHMARK(BM_SharedRegion)->Iterations(20000000)->Threads(1)->Threads(2);

template <typename Resource>
void FromResource(benchmark::State& state, Resource& resource, void (*reset)(Resource&)) {
  const auto size = static_cast<size_t>(state.range(0));
  std::pmr::memory_resource* used = &resource;
  benchmark::DoNotOptimize(used);
  while (state.KeepRunningBatch(kBlocks)) {
    for (size_t i = 0; i < kBlocks; ++i) benchmark::DoNotOptimize(used->allocate(size, 16));
    reset(resource);
  }
}

void BM_RegionResource(benchmark::State& state) {
  static spanmalloc::region region(64 * kMiB);
  spanmalloc::region_resource resource(region);
  FromResource<spanmalloc::region_resource>(state, resource, [](auto&) { region.reset(); });
}
BENCHMARK(BM_RegionResource)->Arg(16)->Arg(64)->Arg(1000);

void BM_MonotonicBufferResource(benchmark::State& state) {
  std::vector<char> buffer(2 * kMiB);
  std::pmr::monotonic_buffer_resource resource(buffer.data(), buffer.size());
  FromResource<std::pmr::monotonic_buffer_resource>(state, resource,
                                                    [](auto& each) { each.release(); });
}
BENCHMARK(BM_MonotonicBufferResource)->Arg(16)->Arg(64)->Arg(1000);

void BM_MallocFree(benchmark::State& state) {
  const auto size = static_cast<size_t>(state.range(0));
  void* blocks[kBlocks];
  while (state.KeepRunningBatch(kBlocks)) {
    for (void*& block : blocks) block = malloc(size);
    for (void* block : blocks) free(block);
  }
}
BENCHMARK(BM_MallocFree)->Arg(16)->Arg(64)->Arg(1000);

// Fresh memory, written to: time per MiB.
void BM_FillRegion(benchmark::State& state) {
  constexpr size_t kFilled = 64 * kMiB;
  while (state.KeepRunningBatch(kFilled / kMiB)) {
    spanmalloc::region region(kFilled);
    for (size_t i = 0; i < kFilled / 4096; ++i) *static_cast<char*>(region.allocate(4096)) = 1;
  }
}
BENCHMARK(BM_FillRegion);

// The least it can take: a mapping that is there from the start.
void BM_FillMapping(benchmark::State& state) {
  constexpr size_t kFilled = 64 * kMiB;
  while (state.KeepRunningBatch(kFilled / kMiB)) {
    auto* bytes = static_cast<char*>(
        mmap(nullptr, kFilled, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (size_t i = 0; i < kFilled; i += 4096) bytes[i] = 1;
    munmap(bytes, kFilled);
  }
}
BENCHMARK(BM_FillMapping);

}  // namespace

BENCHMARK_MAIN();
