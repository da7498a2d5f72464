// SPDX-License-Identifier: Apache-2.0
//
// What one call of the allocator's entry points costs, in a hot loop. Each figure is per pair of an
// allocation and its free, two calls through the dynamic linker included.
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

#include "benchmarks/workloads/channel.h"
#include "benchmarks/workloads/random.h"

namespace {

using spanmalloc::workloads::Channel;
using spanmalloc::workloads::Random;

constexpr size_t kBatch = 1000;
using Batch = std::array<void*, kBatch>;

void BM_MallocFree(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = malloc(size);
    benchmark::DoNotOptimize(block);
    free(block);
  }
}
BENCHMARK(BM_MallocFree)->Arg(16)->Arg(64)->Arg(1000)->Arg(8000)->Arg(100000);

void BM_NewDelete(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = ::operator new(size);
    benchmark::DoNotOptimize(block);
    ::operator delete(block);
  }
}
BENCHMARK(BM_NewDelete)->Arg(64);

void BM_NewSizedDelete(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = ::operator new(size);
    benchmark::DoNotOptimize(block);
    ::operator delete(block, size);
  }
}
BENCHMARK(BM_NewSizedDelete)->Arg(64);

void BM_AlignedAllocFree(benchmark::State& state) {
  for (auto _ : state) {
    void* block = aligned_alloc(state.range(0), state.range(1));
    benchmark::DoNotOptimize(block);
    free(block);
  }
}
BENCHMARK(BM_AlignedAllocFree)->Args({64, 256});

void BM_CallocFree(benchmark::State& state) {
  const size_t size = state.range(0);
  for (auto _ : state) {
    void* block = calloc(1, size);
    benchmark::DoNotOptimize(block);
    free(block);
  }
}
BENCHMARK(BM_CallocFree)->Arg(4096);

// From 16 bytes to 1 MiB by half each time; nothing is touched. The figure is for all the steps.
void BM_ReallocGrowth(benchmark::State& state) {
  for (auto _ : state) {
    void* block = nullptr;
    for (size_t size = 16; size <= size_t{1} << 20; size += size / 2) {
      block = realloc(block, size);
      benchmark::DoNotOptimize(block);
    }
    free(block);
  }
}
BENCHMARK(BM_ReallocGrowth);

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
BENCHMARK_CAPTURE(BM_Batch, fifo_64, Order::kFirstToLast);
BENCHMARK_CAPTURE(BM_Batch, lifo_64, Order::kLastToFirst);
BENCHMARK_CAPTURE(BM_Batch, random_64, Order::kRandom);

void BM_BatchOfMixedSizes(benchmark::State& state) {
  std::array<size_t, kBatch> sizes;
  Random random(2);
  for (size_t& size : sizes) size = random.LogUniform(16, 1024);
  RunBatches(state, sizes, Order::kRandom);
}
BENCHMARK(BM_BatchOfMixedSizes);

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
BENCHMARK(BM_CrossThread)->MeasureProcessCPUTime();

}  // namespace

BENCHMARK_MAIN();
