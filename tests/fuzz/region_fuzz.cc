// SPDX-License-Identifier: Apache-2.0
//
// Regions, used at random, against a model: which bytes are handed out, which marks are good, and
// which places were never written.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "allocator/heap/region_set.h"
#include "gtest/gtest.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_virtual_memory.h"

namespace spanmalloc {
namespace {

constexpr int kSteps = 3000;
constexpr size_t kMostReserved = size_t{8} << 20;

struct Block {
  unsigned char* begin;
  size_t size;
  unsigned char mark;
};

// A region, and what it should be.
struct Model {
  Region* region;
  std::vector<Block> blocks;
  // A mark, and how many blocks there were.
  std::vector<std::pair<RegionMark, size_t>> marks;
  std::vector<RegionMark> passed;
  size_t written = 0;  // bytes from the base on that may not be zero
};

class RegionFuzz {
 public:
  explicit RegionFuzz(Choices& choices) : choices_(choices) {
    if (choices.OneIn(4)) memory_.SetPageSize(16384);
  }

  void Run() {
    for (int step = 0; step < kSteps && !testing::Test::HasFailure(); ++step) {
      memory_.RefuseNothing();
      if (choices_.OneIn(20)) {
        memory_.RefuseAll(
            static_cast<FakeVirtualMemory::Call>(choices_.Below(FakeVirtualMemory::kCallKinds)));
      }
      Step();
      if (step % 32 == 0) Check();
    }
    memory_.RefuseNothing();
    while (!models_.empty()) Destroy();
    EXPECT_EQ(set_.Stats().reserved, 0u);
  }

 private:
  void Step() {
    const size_t choice = choices_.Below(100);
    if (models_.empty() || choice < 2) return Create();
    Model& model = *choices_.Pick(models_);
    if (choice < 70) {
      for (size_t n = choices_.Magnitude(20); n > 0; --n) Allocate(model);
    } else if (choice < 80) {
      model.marks.push_back({model.region->Mark(), model.blocks.size()});
    } else if (choice < 90) {
      Rewind(model);
    } else if (choice < 93) {
      BadMark(model);
    } else if (choice < 94) {
      Reset(model);
    } else if (choice < 98) {
      Trim(model);
    } else {
      Destroy();
    }
  }

  void Create() {
    const size_t reserve = choices_.Magnitude(kMostReserved);
    Region* region = models_.size() < 4 ? set_.Create(reserve, choices_.OneIn(2)) : nullptr;
    if (region == nullptr) return;
    EXPECT_GE(region->Sizes().reserved, reserve);
    models_.push_back({.region = region, .blocks = {}, .marks = {}, .passed = {}});
  }

  void Allocate(Model& model) {
    const size_t size = choices_.OneIn(50)
                            ? choices_.Magnitude(size_t{PTRDIFF_MAX} >> choices_.Below(50))
                            : choices_.Magnitude(20000);
    const size_t alignment = size_t{1} << choices_.Below(choices_.OneIn(20) ? 40 : 8);
    const RegionSizes before = model.region->Sizes();
    auto* block = static_cast<unsigned char*>(set_.Allocate(model.region, size, alignment));
    if (block == nullptr) {
      EXPECT_EQ(model.region->Sizes().used, before.used);
      const uintptr_t at = model.region->base() + before.used;
      const size_t padding = (0 - at) & (alignment - 1);
      const size_t room = before.reserved - before.used;
      EXPECT_TRUE(memory_.refused() != 0 || size > room || padding > room - size);
      return;
    }
    const uintptr_t address = reinterpret_cast<uintptr_t>(block);
    ASSERT_EQ(address % alignment, 0u);
    ASSERT_GE(address, model.region->base() + before.used);
    ASSERT_LT(address - model.region->base() - before.used, alignment);
    const size_t end = address + size - model.region->base();
    ASSERT_EQ(end, model.region->Sizes().used);
    for (size_t i = 0; i < size; ++i) {
      if (end - size + i >= model.written && block[i] != 0) FAIL() << "fresh memory isn't zero";
    }
    memset(block, ++mark_, size);
    model.written = std::max(model.written, end);
    model.blocks.push_back({block, size, mark_});
  }

  void Drop(Model& model, size_t marks, size_t blocks) {
    for (size_t i = marks; i < model.marks.size(); ++i) {
      // Another place than where it goes back to.
      if (model.marks[i].first.position > model.region->base() + model.region->Sizes().used) {
        model.passed.push_back(model.marks[i].first);
      }
    }
    model.marks.resize(marks);
    model.blocks.resize(blocks);
  }

  void Rewind(Model& model) {
    if (model.marks.empty()) return;
    const size_t at = model.marks.size() - std::min(choices_.Magnitude(20), model.marks.size());
    const auto [mark, blocks] = model.marks[at];
    EXPECT_EQ(model.region->Rewind(mark), MarkFault::kNone);
    EXPECT_EQ(model.region->Sizes().used, mark.position - model.region->base());
    Drop(model, at + 1, blocks);
  }

  void BadMark(Model& model) {
    const size_t used = model.region->Sizes().used;
    for (const Model& other : models_) {
      if (other.region == model.region || other.marks.empty()) continue;
      EXPECT_EQ(model.region->Rewind(other.marks.back().first), MarkFault::kForeign);
    }
    // The last of them can't have been forgotten.
    if (!model.passed.empty() && model.passed.back().position > model.region->base() + used) {
      EXPECT_EQ(model.region->Rewind(model.passed.back()), MarkFault::kPassed);
    }
    EXPECT_EQ(model.region->Sizes().used, used);
  }

  void Reset(Model& model) {
    model.region->Reset();
    EXPECT_EQ(model.region->Sizes().used, 0u);
    Drop(model, 0, 0);
  }

  void Trim(Model& model) {
    const size_t keep = choices_.Magnitude(kMostReserved);
    const size_t returned = set_.Trim(model.region, keep);
    const RegionSizes sizes = model.region->Sizes();
    EXPECT_LE(returned, sizes.committed);
    // All that is behind reads as zeros, where nothing was refused.
    const size_t kept = (std::max(keep, sizes.used) + memory_.PageSize() - 1) / memory_.PageSize() *
                        memory_.PageSize();
    if (returned != 0) model.written = std::min(model.written, kept);
  }

  void Destroy() {
    const auto it = choices_.Pick(models_);
    for (const Block& block : it->blocks) Verify(block);
    set_.Destroy(it->region);
    EXPECT_FALSE(it->region->IsLive());
    models_.erase(it);
  }

  static void Verify(const Block& block) {
    EXPECT_EQ(block.begin[0], block.mark);
    EXPECT_EQ(block.begin[block.size / 2], block.mark);
    EXPECT_EQ(block.begin[block.size - 1], block.mark);
  }

  void Check() {
    ASSERT_TRUE(set_.CheckInvariants());
    RegionStats sums = {};
    for (const Model& model : models_) {
      for (const Block& block : model.blocks) Verify(block);
      const RegionSizes sizes = model.region->Sizes();
      ++sums.regions;
      sums.used += sizes.used;
      sums.committed += sizes.committed;
      sums.reserved += sizes.reserved;
    }
    const RegionStats stats = set_.Stats();
    EXPECT_EQ(stats.regions, sums.regions);
    EXPECT_EQ(stats.used, sums.used);
    EXPECT_EQ(stats.committed, sums.committed);
    EXPECT_EQ(stats.reserved, sums.reserved);
  }

  Choices& choices_;
  FakeVirtualMemory memory_;
  MetadataAllocator metadata_{memory_};
  RegionSet set_{memory_, metadata_};
  std::vector<Model> models_;
  unsigned char mark_ = 0;
};

TEST(RegionFuzz, RandomUseAgreesWithTheModel) {
  ForEachSeed(20, [](Choices& choices) { RegionFuzz(choices).Run(); });
}

}  // namespace
}  // namespace spanmalloc
