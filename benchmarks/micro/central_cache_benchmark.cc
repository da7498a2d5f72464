// SPDX-License-Identifier: Apache-2.0
//
// The central and cache floors: batches between thread caches and the CPUs' lists, and between
// those and spans; figures are per object.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "benchmarks/micro/floors.h"
#include "benchmarks/workloads/cycle_clock.h"
#include "benchmarks/workloads/histogram.h"

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

// What lies behind a cache: the CPU's array, or the spans.
enum class Behind { kArray, kSpans };

// As many objects as the array holds, and as one overflow returns.
constexpr size_t kMoved = 512;
static_assert(kSizeClassTable[kClass].central_limit == kMoved &&
              kSizeClassTable[kClass].cache_limit == 2 * kMoved);

void PutBehind(Behind behind, void* const* objects) {
  PerCpuCentral& central = Floors::Get().central;
  constexpr size_t kBatch = PerCpuCentral::kMaxBatch;
  for (size_t i = 0; i < kMoved; i += kBatch) {
    if (behind == Behind::kArray) central.Insert(kClass, objects + i, kBatch);
    if (behind == Behind::kSpans) central.InsertInSpans(kClass, objects + i, kBatch);
  }
}

void TakeFromBehind(void** objects) {
  for (size_t got = 0; got < kMoved;) {
    const size_t want = std::min(kMoved - got, PerCpuCentral::kMaxBatch);
    got += Floors::Get().central.Remove(kClass, objects + got, want);
  }
}

void Allocate(ThreadState* thread, void** objects) {
  for (size_t i = 0; i < kMoved; ++i) {
    objects[i] = thread->cache.Pop(kClass);
    bool zeroed;
    if (objects[i] == nullptr) objects[i] = thread->Refill(kClass, &zeroed);
  }
}

void Free(ThreadState* thread, void* const* objects) {
  for (size_t i = 0; i < kMoved; ++i) {
    if (!thread->cache.Push(kClass, objects[i])) thread->Overflow(kClass, objects[i]);
  }
}

// The wall time of a part of each iteration: `ns_per_object` is the median of all iterations, which
// a busy machine changes least.
class PartTimes {
 public:
  template <typename Work>
  void Time(Work work) {
    const uint64_t before = workloads::TicksBefore();
    work();
    times_.Record(workloads::TicksAfter() - before - error_.overhead);
  }

  void Report(benchmark::State& state) const {
    state.counters["ns_per_object"] = static_cast<double>(times_.Quantile(0.5)) *
                                      workloads::NanosecondsPerTick() / static_cast<double>(kMoved);
  }

 private:
  const workloads::TimerError error_ = workloads::MeasureTimerError();
  workloads::Histogram times_;
};

// From here on locks cost what they do in a process with several threads.
void HaveThreads() {
  std::thread([] {}).join();
}

// Allocations from an empty cache: a refill in every batch.
void BM_Refills(benchmark::State& state, Behind behind) {
  ThreadRegistry& registry = Floors::Get().registry;
  ThreadState* thread = registry.Create();
  void* objects[kMoved];
  PartTimes times;
  HaveThreads();
  Allocate(thread, objects);
  for (auto _ : state) {
    thread->FlushAll();
    Floors::Get().central.Drain();
    PutBehind(behind, objects);
    times.Time([&] { Allocate(thread, objects); });
  }
  times.Report(state);
  PutBehind(behind, objects);
  registry.Destroy(thread);
}
BENCHMARK_CAPTURE(BM_Refills, array, Behind::kArray);
BENCHMARK_CAPTURE(BM_Refills, spans, Behind::kSpans);

// Frees into a full cache: one overflow in 512.
void BM_Overflow(benchmark::State& state, Behind behind) {
  ThreadRegistry& registry = Floors::Get().registry;
  ThreadState* thread = registry.Create();
  void* objects[kMoved];
  PartTimes times;
  HaveThreads();
  for (auto _ : state) {
    TakeFromBehind(objects);
    if (behind == Behind::kSpans) {
      // The array is full, so that what comes passes it by.
      void* others[kMoved];
      TakeFromBehind(others);
      PutBehind(Behind::kArray, others);
    }
    times.Time([&] { Free(thread, objects); });
  }
  times.Report(state);
  registry.Destroy(thread);
}
BENCHMARK_CAPTURE(BM_Overflow, array, Behind::kArray);
BENCHMARK_CAPTURE(BM_Overflow, spans, Behind::kSpans);

void BM_ThreadStateLife(benchmark::State& state) {
  ThreadRegistry& registry = Floors::Get().registry;
  for (auto _ : state) registry.Destroy(registry.Create());
}
BENCHMARK(BM_ThreadStateLife);

}  // namespace
}  // namespace spanmalloc

BENCHMARK_MAIN();
