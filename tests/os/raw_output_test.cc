// SPDX-License-Identifier: Apache-2.0
//
// Text to standard error: whole, in order, with errno left alone, and the end by SIGABRT.
#include "allocator/os/raw_output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace spanmalloc::os {
namespace {

// Standard error replaced by a pipe while it lives.
class StderrPipe {
 public:
  StderrPipe() {
    EXPECT_EQ(pipe2(ends_, O_NONBLOCK), 0);
    saved_ = dup(2);
    dup2(ends_[1], 2);
  }
  ~StderrPipe() {
    dup2(saved_, 2);
    for (int fd : {saved_, ends_[0], ends_[1]}) close(fd);
  }
  std::string Read() {
    std::string all;
    char buffer[4096];
    for (ssize_t n; (n = read(ends_[0], buffer, sizeof(buffer))) > 0;) {
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }

 private:
  int ends_[2];
  int saved_;
};

TEST(RawOutputTest, WritesTheWholeText) {
  StderrPipe pipe;
  WriteToStderr("one line\n");
  WriteToStderr("");
  WriteToStderr("another");
  EXPECT_EQ(pipe.Read(), "one line\nanother");
}

TEST(RawOutputTest, DropsWhatAFullPipeDoesNotTakeAndLeavesErrnoAlone) {
  StderrPipe pipe;
  errno = 123;
  const std::string text(1 << 20, 'x');
  WriteToStderr(text);
  EXPECT_EQ(errno, 123);
  const std::string got = pipe.Read();
  EXPECT_FALSE(got.empty());
  EXPECT_EQ(got, text.substr(0, got.size()));
}

TEST(RawOutputTest, AClosedDescriptorIsNoError) {
  const int saved = dup(2);
  close(2);
  errno = 123;
  WriteToStderr("nobody reads this");
  const int after = errno;
  dup2(saved, 2);
  close(saved);
  EXPECT_EQ(after, 123);
}

TEST(RawOutputDeathTest, DieWithWritesAndAborts) {
  EXPECT_EXIT(DieWith("the last words\n"), testing::KilledBySignal(SIGABRT), "^the last words\n");
}

}  // namespace
}  // namespace spanmalloc::os
