// SPDX-License-Identifier: Apache-2.0
//
// The central and cache floors: batches between thread caches and the CPUs' lists, and between
// those and spans; figures are per object.
#include <benchmark/benchmark.h>

#include <vector>

#include "benchmarks/micro/floors.h"

namespace spanmalloc {
namespace {

constexpr SizeClass kClass = 4;  // 64 bytes

// A batch that stays in the CPU's array.
void BM_BatchThroughArray(benchmark::State& state) {
  PerCpuCentral& central = Floors::Get().central;
  const auto batch = static_cast<size_t>(state.range(0));
  void* objects[PerCpuCentral::kMaxBatch];
  for (auto _ : state) {
    const size_t got = central.Remove(kClass, objects, batch);
    central.Insert(kClass, objects, got);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BatchThroughArray)->Arg(4)->Arg(64)->ThreadRange(1, 2);

// A batch that goes back to its span.
void BM_BatchThroughSpans(benchmark::State& state) {
  PerCpuCentral& central = Floors::Get().central;
  const auto batch = static_cast<size_t>(state.range(0));
  void* objects[PerCpuCentral::kMaxBatch];
  for (auto _ : state) {
    const size_t got = central.Remove(kClass, objects, batch);
    central.InsertInSpans(kClass, objects, got);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_BatchThroughSpans)->Arg(4)->Arg(64);

void BM_CachePair(benchmark::State& state) {
  ThreadRegistry& registry = Floors::Get().registry;
  ThreadState* thread = registry.Create();
  bool zeroed;
  thread->cache.Push(kClass, thread->Refill(kClass, &zeroed));
  for (auto _ : state) {
    void* object = thread->cache.Pop(kClass);
    benchmark::DoNotOptimize(object);
    thread->cache.Push(kClass, object);
  }
  registry.Destroy(thread);
}
BENCHMARK(BM_CachePair);

// `range` objects allocated, then freed: refills, overflows and all.
void BM_CacheBursts(benchmark::State& state) {
  ThreadRegistry& registry = Floors::Get().registry;
  ThreadState* thread = registry.Create();
  std::vector<void*> objects(static_cast<size_t>(state.range(0)));
  bool zeroed;
  for (auto _ : state) {
    for (void*& object : objects) {
      object = thread->cache.Pop(kClass);
      if (object == nullptr) object = thread->Refill(kClass, &zeroed);
    }
    for (void* object : objects) {
      if (!thread->cache.Push(kClass, object)) thread->Overflow(kClass, object);
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  registry.Destroy(thread);
}
BENCHMARK(BM_CacheBursts)->Arg(100)->Arg(10000);

void BM_ThreadStateLife(benchmark::State& state) {
  ThreadRegistry& registry = Floors::Get().registry;
  for (auto _ : state) registry.Destroy(registry.Create());
}
BENCHMARK(BM_ThreadStateLife);

}  // namespace
}  // namespace spanmalloc

BENCHMARK_MAIN();
