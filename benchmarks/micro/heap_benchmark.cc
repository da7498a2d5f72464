// SPDX-License-Identifier: Apache-2.0
//
// The heap floor: the allocator's own memory, the page map, spans and the page heap.
#include <benchmark/benchmark.h>

#include <vector>

#include "benchmarks/micro/floors.h"

namespace spanmalloc {
namespace {

void BM_MetadataPair(benchmark::State& state) {
  Floors& floors = Floors::Get();
  const auto size = static_cast<size_t>(state.range(0));
  for (auto _ : state) floors.metadata.Free(floors.metadata.Allocate(size), size);
}
BENCHMARK(BM_MetadataPair)->Arg(128)->Arg(4096);

void BM_PageMapClassOf(benchmark::State& state) {
  Floors& floors = Floors::Get();
  Span* span = floors.page_heap.AllocateShared(4, InPageMap::kYes, 0);
  auto* object = reinterpret_cast<void*>(span->start);
  for (auto _ : state) {
    benchmark::DoNotOptimize(object);
    benchmark::DoNotOptimize(floors.page_map.ClassOf(object));
  }
  floors.page_heap.FreeShared(span);
}
BENCHMARK(BM_PageMapClassOf);

void BM_PageMapSpanOf(benchmark::State& state) {
  Floors& floors = Floors::Get();
  Span* span = floors.page_heap.AllocateShared(4, InPageMap::kYes, 0);
  auto* object = reinterpret_cast<void*>(span->start);
  for (auto _ : state) {
    benchmark::DoNotOptimize(object);
    benchmark::DoNotOptimize(floors.page_map.SpanOf(object));
  }
  floors.page_heap.FreeShared(span);
}
BENCHMARK(BM_PageMapSpanOf);

// Per object taken out of a span's bitmap and put back.
void BM_SpanObjects(benchmark::State& state) {
  constexpr size_t kBatch = 64;
  Floors& floors = Floors::Get();
  Span* span = floors.page_heap.AllocateShared(4, InPageMap::kYes, 0);
  void* objects[kBatch];
  for (auto _ : state) {
    const size_t taken = span->TakeObjects(objects, kBatch);
    span->PutObjects(objects, taken);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
  floors.page_heap.FreeShared(span);
}
BENCHMARK(BM_SpanObjects);

// A large span of `range` pages, allocated and freed; its memory isn't touched.
void BM_LargeSpanPair(benchmark::State& state) {
  Floors& floors = Floors::Get();
  for (auto _ : state) {
    Span* span = floors.page_heap.AllocateLarge(static_cast<size_t>(state.range(0)), 1);
    floors.page_heap.FreeLarge(reinterpret_cast<void*>(span->start));
  }
}
BENCHMARK(BM_LargeSpanPair)->Arg(2)->Arg(40)->Arg(300);

// The same among a thousand others.
void BM_LargeSpanPairAmongMany(benchmark::State& state) {
  Floors& floors = Floors::Get();
  std::vector<void*> blocks;
  for (size_t i = 0; i < 1000; ++i) {
    blocks.push_back(
        reinterpret_cast<void*>(floors.page_heap.AllocateLarge(1 + i * 7 % 60, 1)->start));
  }
  size_t next = 0;
  for (auto _ : state) {
    void*& block = blocks[next];
    floors.page_heap.FreeLarge(block);
    block = reinterpret_cast<void*>(floors.page_heap.AllocateLarge(1 + next * 11 % 60, 1)->start);
    next = (next + 37) % blocks.size();
  }
  for (void* block : blocks) floors.page_heap.FreeLarge(block);
}
BENCHMARK(BM_LargeSpanPairAmongMany);

void BM_GrowAndShrink(benchmark::State& state) {
  Floors& floors = Floors::Get();
  Span* span = floors.page_heap.AllocateLarge(4, 1);
  for (auto _ : state) {
    floors.page_heap.GrowLarge(span, 8, nullptr);
    floors.page_heap.ShrinkLarge(span, 4);
  }
  floors.page_heap.FreeLarge(reinterpret_cast<void*>(span->start));
}
BENCHMARK(BM_GrowAndShrink);

}  // namespace
}  // namespace spanmalloc

BENCHMARK_MAIN();
