// SPDX-License-Identifier: Apache-2.0
//
// Which source of options wins, and what a fault in one does to the process.
#include "allocator/control/load_options.h"

#include <stdlib.h>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

class LoadOptionsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    unsetenv("MALLOC_CONF");
    unsetenv("SPANMALLOC_CONF");
  }
  Options options_;
};

TEST_F(LoadOptionsTest, LaterSourcesWin) {
  setenv("MALLOC_CONF", "dirty_decay_ms:2,thread_cache_bytes:22", 1);
  setenv("SPANMALLOC_CONF", "dirty_decay_ms:3", 1);
  LoadOptions("dirty_decay_ms:1,thread_cache_bytes:11,tcache:false", &options_);
  EXPECT_EQ(options_.dirty_decay_ms, 3);
  EXPECT_EQ(options_.thread_cache_bytes, 22u);
  EXPECT_FALSE(options_.tcache);
}

TEST_F(LoadOptionsTest, NoSourceIsNoChange) {
  LoadOptions(nullptr, &options_);
  EXPECT_EQ(options_.dirty_decay_ms, 2000);
}

TEST_F(LoadOptionsTest, AFaultIsReportedOnStderrWithItsSource) {
  setenv("MALLOC_CONF", "a:b,tcache:false", 1);
  testing::internal::CaptureStderr();
  LoadOptions("c", &options_);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "spanmalloc: malformed option \"c\" in malloc_conf, expected name:value (ignored)\n"
            "spanmalloc: unknown option \"a:b\" in MALLOC_CONF (ignored)\n");
  EXPECT_FALSE(options_.tcache);
}

TEST_F(LoadOptionsTest, AbortConfOfAnEarlierSourceHolds) {
  setenv("SPANMALLOC_CONF", "a:b", 1);
  EXPECT_DEATH(LoadOptions("abort_conf:true", &options_),
               "unknown option \"a:b\" in SPANMALLOC_CONF \\(abort_conf\\)");
}

}  // namespace
}  // namespace spanmalloc
