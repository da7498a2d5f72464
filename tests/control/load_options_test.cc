// SPDX-License-Identifier: Apache-2.0
//
// Which source of options wins, and what a fault in one does to the process.
#include "allocator/control/load_options.h"

#include <stdlib.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

class LoadOptionsTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(chdir(::testing::TempDir().c_str()), 0); }

  void TearDown() override {
    unsetenv("MALLOC_CONF");
    unsetenv("SPANMALLOC_CONF");
    unlink(sources_.link);
  }
  void Load(const char* symbol_value, const char* last_symbol_value = nullptr) {
    LoadOptions(sources_, symbol_value, last_symbol_value, &options_);
  }

  const OptionSources sources_ = {"MALLOC_TRIM_THRESHOLD_",
                                  "MALLOC_PERTURB_",
                                  "malloc_conf",
                                  "malloc.conf",
                                  "MALLOC_CONF",
                                  "harder",
                                  "SPANMALLOC_CONF"};
  Options options_;
};

TEST_F(LoadOptionsTest, LaterSourcesWin) {
  setenv("MALLOC_CONF", "dirty_decay_ms:2,thread_cache_bytes:22", 1);
  setenv("SPANMALLOC_CONF", "dirty_decay_ms:3", 1);
  Load("dirty_decay_ms:1,thread_cache_bytes:11,tcache:false");
  EXPECT_EQ(options_.dirty_decay_ms, 3);
  EXPECT_EQ(options_.thread_cache_bytes, 22u);
  EXPECT_FALSE(options_.tcache);
}

TEST_F(LoadOptionsTest, EachSourceWinsOverThoseBeforeIt) {
  const char* const texts[] = {"dirty_decay_ms:1", "dirty_decay_ms:2", "dirty_decay_ms:3",
                               "dirty_decay_ms:4", "dirty_decay_ms:5"};
  for (int strongest = 0; strongest < 5; ++strongest) {
    TearDown();
    options_ = Options();
    if (strongest >= 1) ASSERT_EQ(symlink(texts[1], sources_.link), 0);
    if (strongest >= 2) setenv("MALLOC_CONF", texts[2], 1);
    if (strongest >= 4) setenv("SPANMALLOC_CONF", texts[4], 1);
    Load(texts[0], strongest >= 3 ? texts[3] : nullptr);
    EXPECT_EQ(options_.dirty_decay_ms, strongest + 1);
  }
}

TEST_F(LoadOptionsTest, AFaultInALinkIsReportedWithItsPath) {
  ASSERT_EQ(symlink("nonsense", sources_.link), 0);
  testing::internal::CaptureStderr();
  Load(nullptr);
  EXPECT_EQ(
      testing::internal::GetCapturedStderr(),
      "spanmalloc: malformed option \"nonsense\" in malloc.conf, expected name:value (ignored)\n");
}

TEST_F(LoadOptionsTest, NoSourceIsNoChange) {
  Load(nullptr);
  EXPECT_EQ(options_.dirty_decay_ms, 2000);
}

TEST_F(LoadOptionsTest, AFaultIsReportedOnStderrWithItsSource) {
  setenv("MALLOC_CONF", "a:b,tcache:false", 1);
  testing::internal::CaptureStderr();
  Load("c");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "spanmalloc: malformed option \"c\" in malloc_conf, expected name:value (ignored)\n"
            "spanmalloc: unknown option \"a:b\" in MALLOC_CONF (ignored)\n");
  EXPECT_FALSE(options_.tcache);
}

TEST_F(LoadOptionsTest, AbortConfOfAnEarlierSourceHolds) {
  setenv("SPANMALLOC_CONF", "a:b", 1);
  EXPECT_DEATH(Load("abort_conf:true"),
               "unknown option \"a:b\" in SPANMALLOC_CONF \\(abort_conf\\)");
}

}  // namespace
}  // namespace spanmalloc
