// SPDX-License-Identifier: Apache-2.0
//
// Each tc_ function does what the function it is named after does, on the same heap.
#include <errno.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <new>
#include <string>

extern "C" {
void* tc_malloc(size_t size) noexcept;
void* tc_malloc_skip_new_handler(size_t size) noexcept;
void tc_free(void* block) noexcept;
void tc_cfree(void* block) noexcept;
void tc_free_sized(void* block, size_t size) noexcept;
void* tc_calloc(size_t count, size_t size) noexcept;
void* tc_realloc(void* block, size_t size) noexcept;
void* tc_memalign(size_t alignment, size_t size) noexcept;
int tc_posix_memalign(void** result, size_t alignment, size_t size) noexcept;
void* tc_valloc(size_t size) noexcept;
void* tc_pvalloc(size_t size) noexcept;
size_t tc_malloc_size(void* block) noexcept;
size_t malloc_size(void* block) noexcept;
void* tc_new(size_t size);
void* tc_newarray(size_t size);
void* tc_new_nothrow(size_t size, const std::nothrow_t&) noexcept;
void* tc_newarray_nothrow(size_t size, const std::nothrow_t&) noexcept;
void* tc_new_aligned(size_t size, std::align_val_t alignment);
void* tc_newarray_aligned(size_t size, std::align_val_t alignment);
void* tc_new_aligned_nothrow(size_t size, std::align_val_t alignment,
                             const std::nothrow_t&) noexcept;
void* tc_newarray_aligned_nothrow(size_t size, std::align_val_t alignment,
                                  const std::nothrow_t&) noexcept;
void tc_delete(void* block) noexcept;
void tc_deletearray(void* block) noexcept;
void tc_delete_nothrow(void* block, const std::nothrow_t&) noexcept;
void tc_deletearray_nothrow(void* block, const std::nothrow_t&) noexcept;
void tc_delete_sized(void* block, size_t size) noexcept;
void tc_deletearray_sized(void* block, size_t size) noexcept;
void tc_delete_aligned(void* block, std::align_val_t) noexcept;
void tc_deletearray_aligned(void* block, std::align_val_t) noexcept;
void tc_delete_aligned_nothrow(void* block, std::align_val_t, const std::nothrow_t&) noexcept;
void tc_deletearray_aligned_nothrow(void* block, std::align_val_t, const std::nothrow_t&) noexcept;
void tc_delete_sized_aligned(void* block, size_t size, std::align_val_t) noexcept;
void tc_deletearray_sized_aligned(void* block, size_t size, std::align_val_t) noexcept;
void tc_free_aligned_sized(void* block, size_t alignment, size_t size) noexcept;
size_t tc_nallocx(size_t size, int flags) noexcept;
struct mallinfo tc_mallinfo() noexcept;
struct mallinfo2 tc_mallinfo2() noexcept;
int tc_mallopt(int parameter, int value) noexcept;
void tc_malloc_stats() noexcept;
int tc_set_new_mode(int flag) noexcept;
int tc_query_new_mode() noexcept;
const char* tc_version(int* major, int* minor, const char** patch) noexcept;
}

namespace {

constexpr std::align_val_t kAlignment{256};
constexpr size_t kTooMuch = SIZE_MAX / 2;

// A block of 100 bytes or more, written to all its end.
void* Filled(void* block, size_t alignment = 16) {
  EXPECT_NE(block, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignment, 0u);
  EXPECT_GE(tc_malloc_size(block), 100u);
  EXPECT_EQ(tc_malloc_size(block), malloc_usable_size(block));
  EXPECT_EQ(malloc_size(block), malloc_usable_size(block));
  memset(block, 0x5a, tc_malloc_size(block));
  return block;
}

TEST(TcC, AllocatesAndFrees) {
  tc_free(Filled(tc_malloc(100)));
  tc_cfree(Filled(tc_malloc_skip_new_handler(100)));
  tc_free_sized(Filled(tc_malloc(100)), 100);
  free(Filled(tc_malloc(100)));
  tc_free(Filled(malloc(100)));
  tc_free(nullptr);
  tc_cfree(nullptr);
  tc_free_sized(nullptr, 10);
  EXPECT_EQ(tc_malloc_size(nullptr), 0u);
}

TEST(TcC, CallocIsZeroAndOverflowFails) {
  tc_free(Filled(tc_malloc(1000)));
  auto* bytes = static_cast<char*>(tc_calloc(10, 100));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(bytes[i], 0);
  tc_free(bytes);
  errno = 0;
  EXPECT_EQ(tc_calloc(SIZE_MAX / 2, 3), nullptr);
  EXPECT_EQ(errno, ENOMEM);
}

TEST(TcC, ReallocKeepsContents) {
  auto* bytes = static_cast<char*>(tc_realloc(nullptr, 10));
  memcpy(bytes, "123456789", 10);
  bytes = static_cast<char*>(tc_realloc(bytes, 100000));
  EXPECT_STREQ(bytes, "123456789");
  errno = 0;
  EXPECT_EQ(tc_realloc(bytes, kTooMuch), nullptr);
  EXPECT_EQ(errno, ENOMEM);
  EXPECT_STREQ(bytes, "123456789");
  EXPECT_EQ(tc_realloc(bytes, 0), nullptr);
}

TEST(TcC, Aligns) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  tc_free(Filled(tc_memalign(512, 100), 512));
  tc_free(Filled(tc_memalign(48, 100), 64));
  tc_free(Filled(tc_valloc(100), page));
  void* whole = Filled(tc_pvalloc(100), page);
  EXPECT_GE(tc_malloc_size(whole), page);
  tc_free(whole);
  void* block = nullptr;
  EXPECT_EQ(tc_posix_memalign(&block, 64, 100), 0);
  tc_free(Filled(block, 64));
  EXPECT_EQ(tc_posix_memalign(&block, 48, 100), EINVAL);
  EXPECT_EQ(tc_posix_memalign(&block, 64, kTooMuch), ENOMEM);
}

TEST(TcNew, AllocatesAndFrees) {
  tc_delete(Filled(tc_new(100)));
  tc_deletearray(Filled(tc_newarray(100)));
  tc_delete_sized(Filled(tc_new(100)), 100);
  tc_deletearray_sized(Filled(tc_newarray(100)), 100);
  tc_delete_nothrow(Filled(tc_new_nothrow(100, std::nothrow)), std::nothrow);
  tc_deletearray_nothrow(Filled(tc_newarray_nothrow(100, std::nothrow)), std::nothrow);
  ::operator delete(Filled(tc_new(100)));
}

TEST(TcNew, Aligns) {
  tc_delete_aligned(Filled(tc_new_aligned(100, kAlignment), 256), kAlignment);
  tc_deletearray_aligned(Filled(tc_newarray_aligned(100, kAlignment), 256), kAlignment);
  tc_delete_sized_aligned(Filled(tc_new_aligned(100, kAlignment), 256), 100, kAlignment);
  tc_deletearray_sized_aligned(Filled(tc_newarray_aligned(100, kAlignment), 256), 100, kAlignment);
  tc_delete_sized_aligned(Filled(tc_new(100)), 100, std::align_val_t{16});
  tc_delete_aligned_nothrow(Filled(tc_new_aligned_nothrow(100, kAlignment, std::nothrow), 256),
                            kAlignment, std::nothrow);
  tc_deletearray_aligned_nothrow(
      Filled(tc_newarray_aligned_nothrow(100, kAlignment, std::nothrow), 256), kAlignment,
      std::nothrow);
}

TEST(TcNew, ThrowsOrReturnsNull) {
  EXPECT_THROW(tc_new(kTooMuch), std::bad_alloc);
  EXPECT_THROW(tc_newarray(kTooMuch), std::bad_alloc);
  EXPECT_THROW(tc_new_aligned(kTooMuch, kAlignment), std::bad_alloc);
  EXPECT_THROW(tc_newarray_aligned(kTooMuch, kAlignment), std::bad_alloc);
  EXPECT_EQ(tc_new_nothrow(kTooMuch, std::nothrow), nullptr);
  EXPECT_EQ(tc_newarray_nothrow(kTooMuch, std::nothrow), nullptr);
  EXPECT_EQ(tc_new_aligned_nothrow(kTooMuch, kAlignment, std::nothrow), nullptr);
  EXPECT_EQ(tc_newarray_aligned_nothrow(kTooMuch, kAlignment, std::nothrow), nullptr);
}

int handler_calls = 0;

void CountAndGiveUp() {
  ++handler_calls;
  std::set_new_handler(nullptr);
}

TEST(TcNew, CallsTheNewHandler) {
  std::set_new_handler(&CountAndGiveUp);
  EXPECT_THROW(tc_new(kTooMuch), std::bad_alloc);
  EXPECT_EQ(handler_calls, 1);
  std::set_new_handler(&CountAndGiveUp);
  EXPECT_EQ(tc_malloc(kTooMuch), nullptr);
  EXPECT_EQ(handler_calls, 1);
  std::set_new_handler(nullptr);
}

TEST(TcC, FreesAlignedBlocksBySize) {
  tc_free_aligned_sized(Filled(tc_memalign(256, 300), 256), 256, 300);
  tc_free_aligned_sized(Filled(tc_malloc(100)), 8, 100);
  tc_free_aligned_sized(nullptr, 256, 300);
}

TEST(TcC, TellsSizesBeforehand) {
  for (size_t size : {1, 100, 1000, 300000}) {
    void* block = tc_malloc(size);
    EXPECT_EQ(tc_nallocx(size, 0), tc_malloc_size(block)) << size;
    tc_free(block);
  }
}

TEST(TcGlibc, AnswersAsGlibcsFunctions) {
  void* block = tc_malloc(1 << 20);
  const struct mallinfo2 wide = mallinfo2();
  const struct mallinfo2 tc_wide = tc_mallinfo2();
  EXPECT_EQ(memcmp(&wide, &tc_wide, sizeof(wide)), 0);
  EXPECT_EQ(static_cast<size_t>(tc_mallinfo().hblkhd), wide.hblkhd);
  tc_free(block);
  EXPECT_EQ(tc_mallopt(M_ARENA_MAX, 1), 1);
  EXPECT_EQ(tc_mallopt(12345, 1), 0);
  testing::internal::CaptureStderr();
  tc_malloc_stats();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("Bytes in use by application"), std::string::npos) << text;
}

TEST(TcNewMode, HasMallocCallTheNewHandler) {
  EXPECT_EQ(tc_query_new_mode(), 0);
  EXPECT_EQ(tc_set_new_mode(1), 0);
  EXPECT_EQ(tc_query_new_mode(), 1);
  handler_calls = 0;
  for (const auto& allocate :
       {+[] { return tc_malloc(kTooMuch); }, +[] { return tc_calloc(kTooMuch, 1); },
        +[] { return malloc(kTooMuch); }, +[] { return tc_memalign(64, kTooMuch); }}) {
    std::set_new_handler(&CountAndGiveUp);
    errno = 0;
    EXPECT_EQ(allocate(), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
  EXPECT_EQ(handler_calls, 4);
  std::set_new_handler(&CountAndGiveUp);
  EXPECT_EQ(tc_malloc_skip_new_handler(kTooMuch), nullptr);
  EXPECT_EQ(handler_calls, 4);
  EXPECT_THROW(tc_new(kTooMuch), std::bad_alloc);
  EXPECT_EQ(handler_calls, 5);
  EXPECT_EQ(tc_set_new_mode(0), 1);
  std::set_new_handler(&CountAndGiveUp);
  EXPECT_EQ(tc_malloc(kTooMuch), nullptr);
  EXPECT_EQ(handler_calls, 5);
  std::set_new_handler(nullptr);
}

struct SizedBlock {
  void* block;
  size_t size;
};
extern "C" SizedBlock __size_returning_new(size_t size);
extern "C" SizedBlock __size_returning_new_aligned(size_t size, std::align_val_t alignment);
extern "C" SizedBlock __size_returning_new_hot_cold(size_t size, uint8_t hotness);

// The test has to be compiled with sized delete for the sizes to be looked at.
TEST(SizeReturningNew, TellsWhatSizedDeleteTakes) {
  for (size_t size : {0, 1, 17, 1000, 1025, 5000, 40000, 262145, 1000001}) {
    const auto check = [size](SizedBlock made) {
      EXPECT_GE(made.size, size);
      EXPECT_LE(made.size, tc_malloc_size(made.block));
      memset(made.block, 1, made.size);
    };
    for (const bool asked : {false, true}) {
      const SizedBlock made = __size_returning_new(size);
      check(made);
      tc_delete_sized(made.block, asked ? size : made.size);
      const SizedBlock aligned = __size_returning_new_aligned(size, kAlignment);
      check(aligned);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(aligned.block) % static_cast<size_t>(kAlignment), 0u);
      tc_delete_sized_aligned(aligned.block, asked ? size : aligned.size, kAlignment);
    }
    const SizedBlock hot = __size_returning_new_hot_cold(size, 255);
    check(hot);
    tc_delete(hot.block);
  }
  EXPECT_THROW(__size_returning_new(kTooMuch), std::bad_alloc);
  EXPECT_THROW(__size_returning_new_aligned(kTooMuch, kAlignment), std::bad_alloc);
}

TEST(TcVersion, IsThatOfTheInterface) {
  int major = 0;
  int minor = 0;
  const char* patch = nullptr;
  EXPECT_STREQ(tc_version(&major, &minor, &patch), "gperftools 2.10-spanmalloc-0.1");
  EXPECT_EQ(major, 2);
  EXPECT_EQ(minor, 10);
  EXPECT_STREQ(patch, "-spanmalloc-0.1");
  EXPECT_NE(tc_version(nullptr, nullptr, nullptr), nullptr);
}

}  // namespace
