// SPDX-License-Identifier: Apache-2.0
//
// gperftools' hooks: which calls of which threads they are told of, and with what.
#include <dlfcn.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <spanmalloc/malloc_hook_c.h>
#include <spanmalloc/spanmalloc.h>
#include <stdlib.h>

#include <atomic>
#include <thread>
#include <vector>

extern "C" int MallocHook_AddMmapHook(const void* hook);
extern "C" void* MallocHook_SetSbrkHook(const void* hook);

namespace {

void* volatile sink;

void* Hide(void* block) {
  sink = block;
  return block;
}

struct Told {
  int news = 0;
  int deletes = 0;
  const void* new_block = nullptr;
  const void* deleted_block = nullptr;
  size_t size = 0;
};

thread_local Told told;

void OnNew(const void* block, size_t size) {
  ++told.news;
  told.new_block = block;
  told.size = size;
  errno = EIO;
}

void OnDelete(const void* block) {
  ++told.deletes;
  told.deleted_block = block;
  errno = EIO;
}

class MallocHookTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(MallocHook_AddNewHook(&OnNew), 1);
    ASSERT_EQ(MallocHook_AddDeleteHook(&OnDelete), 1);
    told = {};
  }
  void TearDown() override {
    EXPECT_EQ(MallocHook_RemoveNewHook(&OnNew), 1);
    EXPECT_EQ(MallocHook_RemoveDeleteHook(&OnDelete), 1);
  }

  // One block was made, for so many bytes; and it goes back.
  static void CheckMade(void* block, size_t size) {
    Hide(block);
    EXPECT_EQ(told.news, 1) << size;
    EXPECT_EQ(told.new_block, block) << size;
    EXPECT_EQ(told.size, size);
    EXPECT_EQ(told.deletes, 0);
    free(block);
    EXPECT_EQ(told.deletes, 1);
    EXPECT_EQ(told.deleted_block, block) << size;
    EXPECT_EQ(told.news, 1);
    told = {};
  }
};

TEST_F(MallocHookTest, EveryWayToABlockIsTold) {
  for (size_t size : {1, 100, 1000, 5000, 100000, 300000, 5000000}) {
    CheckMade(malloc(size), size);
    CheckMade(calloc(1, size), size);
    CheckMade(aligned_alloc(64, size), size);
    CheckMade(operator new(size), size);
    CheckMade(mallocx(size, MALLOCX_TCACHE_NONE), size);
  }
}

TEST_F(MallocHookTest, EveryWayToFreeIsTold) {
  operator delete(Hide(operator new(100)));
  operator delete(Hide(operator new(100)), size_t{100});
  free_sized(Hide(malloc(2000)), 2000);
  dallocx(Hide(mallocx(100, 0)), MALLOCX_TCACHE_NONE);
  sdallocx(Hide(mallocx(400000, 0)), 400000, 0);
  EXPECT_EQ(told.news, 5);
  EXPECT_EQ(told.deletes, 5);
  free(nullptr);
  EXPECT_EQ(told.deletes, 5);
}

TEST_F(MallocHookTest, WhatHooksDoToErrnoIsNotSeen) {
  errno = ERANGE;
  void* block = Hide(malloc(100));
  EXPECT_EQ(errno, ERANGE);
  free(block);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(told.deletes, 1);
}

TEST_F(MallocHookTest, ReallocIsAFreeAndAnAllocation) {
  void* block = Hide(malloc(100));
  for (size_t size : {100, 101, 5000, 300000, 4000000, 200}) {
    told = {};
    const void* before = block;
    block = Hide(realloc(block, size));
    EXPECT_EQ(told.news, 1) << size;
    EXPECT_EQ(told.deletes, 1) << size;
    EXPECT_EQ(told.new_block, block) << size;
    EXPECT_EQ(told.deleted_block, before) << size;
  }
  free(block);
}

TEST_F(MallocHookTest, AFailureIsNotTold) {
  EXPECT_EQ(Hide(malloc(size_t{1} << 60)), nullptr);
  EXPECT_EQ(told.news, 0);
}

TEST_F(MallocHookTest, ThreadsThatBeginLaterAreTold) {
  std::thread([] {
    // With which the allocator may have started a thread of its own.
    free(Hide(malloc(50)));
    EXPECT_GE(told.news, 1);
    EXPECT_GE(told.deletes, 1);
    told = {};
    free(Hide(malloc(50)));
    EXPECT_EQ(told.news, 1);
    EXPECT_EQ(told.deletes, 1);
  }).join();
}

std::atomic<int> allocating{0};

void AllocateOnNew(const void*, size_t) {
  thread_local bool inside = false;
  if (inside) return;
  inside = true;
  free(Hide(malloc(70)));
  allocating.fetch_add(1);
  inside = false;
}

TEST_F(MallocHookTest, AHookMayAllocate) {
  ASSERT_EQ(MallocHook_AddNewHook(&AllocateOnNew), 1);
  for (size_t size : {10, 5000, 400000}) free(Hide(malloc(size)));
  EXPECT_EQ(MallocHook_RemoveNewHook(&AllocateOnNew), 1);
  EXPECT_EQ(allocating.load(), 3);
  EXPECT_EQ(told.news, 6);
  EXPECT_EQ(told.deletes, 6);
}

template <int n>
void Another(const void*, size_t) {}

TEST(MallocHooks, ListsAreFullOnceAndHoldWhatWasAdded) {
  const std::vector<MallocHook_NewHook> hooks = {&Another<0>, &Another<1>, &Another<2>, &Another<3>,
                                                 &Another<4>, &Another<5>, &Another<6>};
  EXPECT_EQ(MallocHook_AddNewHook(nullptr), 0);
  EXPECT_EQ(MallocHook_RemoveNewHook(&OnNew), 0);
  for (const auto hook : hooks) EXPECT_EQ(MallocHook_AddNewHook(hook), 1);
  EXPECT_EQ(MallocHook_AddNewHook(&Another<7>), 0);
  for (const auto hook : hooks) EXPECT_EQ(MallocHook_RemoveNewHook(hook), 1);
  EXPECT_EQ(MallocHook_RemoveNewHook(hooks[0]), 0);

  EXPECT_EQ(MallocHook_SetNewHook(&OnNew), nullptr);
  told = {};
  free(Hide(malloc(10)));
  EXPECT_EQ(told.news, 1);
  EXPECT_EQ(told.deletes, 0);
  EXPECT_EQ(MallocHook_SetNewHook(nullptr), &OnNew);
  free(Hide(malloc(10)));
  EXPECT_EQ(told.news, 1);
  EXPECT_EQ(MallocHook_SetDeleteHook(nullptr), nullptr);
}

TEST(MallocHooks, OthersThanOfNewAndDeleteAreRefused) {
  EXPECT_EQ(MallocHook_AddMmapHook(reinterpret_cast<const void*>(&OnDelete)), 0);
  EXPECT_EQ(MallocHook_SetSbrkHook(reinterpret_cast<const void*>(&OnDelete)), nullptr);
  void* frames[4];
  EXPECT_EQ(MallocHook_GetCallerStackTrace(frames, 4, 0), 0);
}

}  // namespace
