// SPDX-License-Identifier: Apache-2.0
//
// What one call of the allocator's entry points costs, in a hot loop. Each figure is per pair of an
// allocation and its free, two calls through the dynamic linker included; where a benchmark says
// otherwise, for what it says.
//
// The program links no allocator: run it under LD_PRELOAD, or let `tools/benchmark --micro` compare
// libraries. No figure here is a program's: workloads/ has those.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "benchmarks/workloads/channel.h"
#include "benchmarks/workloads/random.h"

namespace {

using spanmalloc::workloads::Channel;
using spanmalloc::workloads::Random;

constexpr size_t kBatch = 1000;
using Batch = std::array<void*, kBatch>;

// As many iterations as the environment says, if it does: the driver counts the instructions of two
// numbers of them.
void FixIterations(benchmark::internal::Benchmark* benchmark) {
  const char* iterations = getenv("SPANMALLOC_BENCHMARK_ITERATIONS");
  if (iterations != nullptr) benchmark->Iterations(strtoll(iterations, nullptr, 10));
}

void BM_MallocFree(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = malloc(size);
    benchmark::DoNotOptimize(block);
    free(block);
  }
}
BENCHMARK(BM_MallocFree)
    ->Arg(16)
    ->Arg(64)
    ->Arg(1000)
    ->Arg(8000)
    ->Arg(100000)
    ->Apply(&FixIterations);

void BM_NewDelete(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = ::operator new(size);
    benchmark::DoNotOptimize(block);
    ::operator delete(block);
  }
}
BENCHMARK(BM_NewDelete)->Arg(64)->Apply(&FixIterations);

void BM_NewSizedDelete(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = ::operator new(size);
    benchmark::DoNotOptimize(block);
    ::operator delete(block, size);
  }
}
BENCHMARK(BM_NewSizedDelete)->Arg(64)->Apply(&FixIterations);

void BM_AlignedAllocFree(benchmark::State& state) {
  for (auto _ : state) {
    void* block = aligned_alloc(state.range(0), state.range(1));
    benchmark::DoNotOptimize(block);
    free(block);
  }
}
BENCHMARK(BM_AlignedAllocFree)->Args({64, 256})->Apply(&FixIterations);

void BM_CallocFree(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = calloc(1, size);
    benchmark::DoNotOptimize(block);
    free(block);
  }
}
BENCHMARK(BM_CallocFree)->Arg(4096)->Apply(&FixIterations);

enum class Touched { kNo, kYes };

// Writes a byte to every page of the new part of a block, and its last byte.
void TouchNewPart(char* block, size_t old_size, size_t size) {
  constexpr size_t kPage = 4096;
  for (size_t offset = old_size; offset < size; offset += kPage) block[offset] = 1;
  block[size - 1] = 1;
  benchmark::ClobberMemory();
}

// From 16 bytes to 1 MiB by half each time. The figure is for all the steps.
void BM_ReallocGrowth(benchmark::State& state, Touched touched) {
  for (auto _ : state) {
    char* block = nullptr;
    size_t old_size = 0;
    for (size_t size = 16; size <= size_t{1} << 20; size += size / 2) {
      block = static_cast<char*>(realloc(block, size));
      benchmark::DoNotOptimize(block);
      if (touched == Touched::kYes) TouchNewPart(block, old_size, size);
      old_size = size;
    }
    free(block);
  }
}
BENCHMARK_CAPTURE(BM_ReallocGrowth, untouched, Touched::kNo)->Apply(&FixIterations);
BENCHMARK_CAPTURE(BM_ReallocGrowth, touched, Touched::kYes)->Apply(&FixIterations);

enum class Order { kFirstToLast, kLastToFirst, kRandom };

// The order in which the blocks of a batch are freed.
std::array<size_t, kBatch> FreeOrder(Order order) {
  std::array<size_t, kBatch> indexes;
  for (size_t i = 0; i < kBatch; ++i) {
    indexes[i] = order == Order::kLastToFirst ? kBatch - 1 - i : i;
  }
  if (order == Order::kRandom) {
    Random random(1);
    for (size_t i = kBatch; i > 1; --i) std::swap(indexes[i - 1], indexes[random.Below(i)]);
  }
  return indexes;
}

// 1000 allocations, then 1000 frees.
void RunBatches(benchmark::State& state, const std::array<size_t, kBatch>& sizes, Order order) {
  const std::array<size_t, kBatch> indexes = FreeOrder(order);
  Batch batch;
  while (state.KeepRunningBatch(kBatch)) {
    for (size_t i = 0; i < kBatch; ++i) batch[i] = malloc(sizes[i]);
    benchmark::DoNotOptimize(batch.data());
    benchmark::ClobberMemory();
    for (const size_t index : indexes) free(batch[index]);
  }
}

void BM_Batch(benchmark::State& state, Order order) {
  std::array<size_t, kBatch> sizes;
  sizes.fill(64);
  RunBatches(state, sizes, order);
}
BENCHMARK_CAPTURE(BM_Batch, fifo_64, Order::kFirstToLast)->Apply(&FixIterations);
BENCHMARK_CAPTURE(BM_Batch, lifo_64, Order::kLastToFirst)->Apply(&FixIterations);
BENCHMARK_CAPTURE(BM_Batch, random_64, Order::kRandom)->Apply(&FixIterations);

void BM_BatchOfMixedSizes(benchmark::State& state) {
  std::array<size_t, kBatch> sizes;
  Random random(2);
  for (size_t& size : sizes) size = random.LogUniform(16, 1024);
  RunBatches(state, sizes, Order::kRandom);
}
BENCHMARK(BM_BatchOfMixedSizes)->Apply(&FixIterations);

// More blocks of 64 bytes than any thread's cache holds, allocated, then freed: most of them come
// from what lies behind the caches, and go back there. The figure is per block.
void BM_RefillAndFlush(benchmark::State& state) {
  std::vector<void*> batch(state.range(0));
  while (state.KeepRunningBatch(state.range(0))) {
    for (void*& block : batch) block = malloc(64);
    benchmark::DoNotOptimize(batch.data());
    benchmark::ClobberMemory();
    for (void* block : batch) free(block);
  }
}
BENCHMARK(BM_RefillAndFlush)->Arg(4000)->Arg(20000)->Apply(&FixIterations);

// 2000 blocks of one size, 16 KiB or 40 KiB, allocated, then freed in random order: runs of pages
// are taken, split and joined. Nothing is touched. The figure is per block.
void BM_Spans(benchmark::State& state) {
  constexpr size_t kSpans = 2000;
  const size_t size = state.range(0);
  std::vector<size_t> order(kSpans);
  Random random(3);
  for (size_t i = 0; i < kSpans; ++i) order[i] = i;
  for (size_t i = kSpans; i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  std::vector<void*> spans(kSpans);
  while (state.KeepRunningBatch(kSpans)) {
    for (void*& span : spans) span = malloc(size);
    benchmark::DoNotOptimize(spans.data());
    benchmark::ClobberMemory();
    for (const size_t index : order) free(spans[index]);
  }
}
BENCHMARK(BM_Spans)->Arg(16 << 10)->Arg(40 << 10)->Apply(&FixIterations);

// A thousand blocks of 8 KiB to 1 MiB, of which a random one is replaced; nothing is touched.
void BM_ReplaceLarge(benchmark::State& state) {
  constexpr size_t kSteps = 4096;
  struct Step {
    size_t place;
    size_t size;
  };
  std::vector<Step> steps(kSteps);
  Random random(4);
  for (Step& step : steps) step = {random.Below(kBatch), random.LogUniform(8 << 10, 1 << 20)};
  std::vector<void*> blocks(kBatch);
  for (size_t i = 0; i < kBatch; ++i) blocks[i] = malloc(steps[i].size);
  size_t next = 0;
  for (auto _ : state) {
    const Step& step = steps[next++ % kSteps];
    free(blocks[step.place]);
    blocks[step.place] = malloc(step.size);
    benchmark::DoNotOptimize(blocks[step.place]);
  }
  for (void* block : blocks) free(block);
}
BENCHMARK(BM_ReplaceLarge)->Apply(&FixIterations);

// Allocated here, freed by another thread; CPU time of both threads, per block. It includes 1/1000
// of passing a batch.
void BM_CrossThread(benchmark::State& state) {
  static Channel<Batch, 4> channel;
  std::thread consumer([] {
    Batch batch;
    do {
      channel.Pop(&batch);
      for (void* block : batch) free(block);
    } while (batch[0] != nullptr);
  });
  Batch batch;
  while (state.KeepRunningBatch(kBatch)) {
    for (void*& block : batch) block = malloc(64);
    channel.Push(batch);
  }
  batch.fill(nullptr);  // The last batch: free(nullptr) does nothing.
  channel.Push(batch);
  consumer.join();
}
BENCHMARK(BM_CrossThread)->MeasureProcessCPUTime()->Apply(&FixIterations);

}  // namespace

BENCHMARK_MAIN();
