// SPDX-License-Identifier: Apache-2.0
//
// Every name of the table is called with every kind of argument, by name and by MIB, and answers as
// its kind of access and its type have it: jemalloc's rules, which don't depend on the name.
#include <errno.h>
#include <limits.h>

#include <cstring>
#include <string>
#include <string_view>

#include "allocator/control/ctl_table.h"
#include "tests/control/control_test.h"

namespace spanmalloc {
namespace {

// Calls names and MIBs with arguments of any length. What is written is zeros, what is read comes
// into a buffer that is full of 0xee.
class CtlRulesTest : public ControlTest {
 protected:
  struct Answer {
    int error;
    size_t length;
    std::string read;  // the buffer

    bool operator==(const Answer&) const = default;
  };
  static constexpr size_t kAbsent = ~size_t{0};  // no pointer to the length

  CtlRulesTest() {
    void* object;
    EXPECT_EQ(heap_->central.Remove(1, &object, 1), 1u);  // a CPU with lists
  }

  static size_t SizeOf(CtlType type) {
    return type == CtlType::kNone       ? 0
           : type == CtlType::kBool     ? 1
           : type == CtlType::kUnsigned ? 4
                                        : 8;
  }

  // With an index in every place for one.
  static std::string Instance(std::string name) {
    for (size_t at = name.find('<'); at != std::string::npos; at = name.find('<')) {
      name.replace(at, 3, "0");
    }
    return name;
  }

  template <typename Ask>
  static Answer Collect(size_t length, Ask ask) {
    std::string buffer(24, '\xee');
    size_t got = length;
    const int error = ask(buffer.data(), length == kAbsent ? nullptr : &got);
    return {error, got, buffer};
  }

  Answer ReadInto(const std::string& name, size_t length) {
    return Collect(length, [&](void* oldp, size_t* oldlenp) {
      return MallctlByName(control_, name.c_str(), oldp, oldlenp, nullptr, 0);
    });
  }
  // Without a buffer.
  Answer AskLength(const std::string& name, size_t length) {
    return Collect(length, [&](void*, size_t* oldlenp) {
      return MallctlByName(control_, name.c_str(), nullptr, oldlenp, nullptr, 0);
    });
  }
  int WriteZeros(const std::string& name, size_t length) {
    static constexpr char kZeros[24] = {};
    return MallctlByName(control_, name.c_str(), nullptr, nullptr, kZeros, length);
  }
  int WriteLength(const std::string& name, size_t length) {
    return MallctlByName(control_, name.c_str(), nullptr, nullptr, nullptr, length);
  }

  // As every name that can be read.
  void ExpectReads(const std::string& name, size_t size) {
    for (size_t length = 0; length <= 16; ++length) {
      const Answer answer = ReadInto(name, length);
      const size_t copied = length < size ? length : size;
      EXPECT_EQ(answer.error, length == size ? 0 : EINVAL) << name << " " << length;
      EXPECT_EQ(answer.length, copied) << name << " " << length;
      EXPECT_EQ(answer.read.substr(copied), std::string(24 - copied, '\xee')) << name;
    }
    const std::string untouched(24, '\xee');
    EXPECT_EQ(ReadInto(name, kAbsent), (Answer{0, kAbsent, untouched})) << name;
  }
};

TEST_F(CtlRulesTest, ByAccess) {
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const CtlRow facts = CtlRowAt(row);
    const std::string name = Instance(std::string(facts.name));
    const size_t size = SizeOf(facts.type);
    const bool hook = name.starts_with("experimental.hooks.prof_");
    switch (facts.access) {
      case CtlAccess::kRead:
      case CtlAccess::kReadOwn:
        ExpectReads(name, size);
        EXPECT_EQ(Do(name), 0) << name;
        EXPECT_EQ(AskLength(name, 5).error, 0) << name;
        EXPECT_EQ(AskLength(name, 5).length, 5u) << name;
        for (size_t length = 0; length <= 16; ++length) {
          EXPECT_EQ(WriteZeros(name, length), EPERM) << name << " " << length;
          EXPECT_EQ(WriteLength(name, length), length == 0 ? 0 : EPERM) << name << " " << length;
        }
        break;
      case CtlAccess::kReadOff:
        ExpectReads(name, size);
        EXPECT_EQ(Do(name), hook ? EINVAL : 0) << name;
        for (size_t length = 0; length <= 16; ++length) {
          EXPECT_EQ(WriteZeros(name, length), ENOENT) << name << " " << length;
        }
        break;
      case CtlAccess::kReadWrite:
        ExpectReads(name, size);
        EXPECT_EQ(Do(name), 0) << name;
        for (size_t length = 0; length <= 16; ++length) {
          if (length != size) EXPECT_EQ(WriteZeros(name, length), EINVAL) << name << " " << length;
        }
        break;
      case CtlAccess::kAbsent:
        EXPECT_EQ(Do(name), ENOENT) << name;
        EXPECT_EQ(ReadInto(name, size).error, ENOENT) << name;
        EXPECT_EQ(WriteZeros(name, size), ENOENT) << name;
        break;
      case CtlAccess::kAction:
        EXPECT_EQ(ReadInto(name, 8).error, EPERM) << name;
        EXPECT_EQ(ReadInto(name, kAbsent).error, EPERM) << name;
        EXPECT_EQ(AskLength(name, 8).error, EPERM) << name;
        EXPECT_EQ(WriteZeros(name, 8), EPERM) << name;
        EXPECT_EQ(WriteZeros(name, 0), EPERM) << name;
        EXPECT_EQ(WriteLength(name, 8), EPERM) << name;
        break;
      case CtlAccess::kAnyAction:
        EXPECT_EQ(ReadInto(name, 8), (Answer{0, 8, std::string(24, '\xee')})) << name;
        EXPECT_EQ(WriteZeros(name, 8), 0) << name;
        EXPECT_EQ(Do(name), 0) << name;
        break;
      case CtlAccess::kWrite:
      case CtlAccess::kMayWrite:
        EXPECT_EQ(ReadInto(name, size).error, EPERM) << name;
        EXPECT_EQ(AskLength(name, size).error, EPERM) << name;
        EXPECT_EQ(Do(name), facts.access == CtlAccess::kWrite ? EINVAL : 0) << name;
        for (size_t length = 0; length <= 16; ++length) {
          if (length != size) EXPECT_EQ(WriteZeros(name, length), EINVAL) << name << " " << length;
        }
        break;
      case CtlAccess::kCreate:
      case CtlAccess::kCreateBy:
      case CtlAccess::kMake:
        for (size_t length = 0; length <= 16; ++length) {
          if (length == size) continue;
          const Answer answer = ReadInto(name, length);
          EXPECT_EQ(answer.error, EINVAL) << name << " " << length;
          EXPECT_EQ(answer.length, 0u) << name << " " << length;
          EXPECT_EQ(answer.read, std::string(24, '\xee')) << name;
        }
        EXPECT_EQ(Do(name), EINVAL) << name;
        break;
      case CtlAccess::kLookUp:
      case CtlAccess::kBuffer:
        for (size_t length : {1, 4, 16}) {
          EXPECT_EQ(WriteZeros(name, length), EINVAL) << name << " " << length;
        }
        break;
    }
  }
}

TEST_F(CtlRulesTest, MibsOfEveryName) {
  for (size_t row = 0; row < CtlRowCount(); ++row) {
    const std::string name = Instance(std::string(CtlRowAt(row).name));
    const CtlPath path = CtlPathAt(row);
    size_t whole[kMaxCtlDepth + 2];
    for (size_t room = 0; room <= kMaxCtlDepth; ++room) {
      for (size_t& part : whole) part = 777;
      size_t length = room;
      EXPECT_EQ(MallctlNameToMib(control_, name.c_str(), whole, &length), 0) << name;
      EXPECT_EQ(length, room < path.depth ? room : path.depth) << name;
      for (size_t d = length; d < kMaxCtlDepth + 2; ++d) EXPECT_EQ(whole[d], 777u) << name;
    }
    const auto ask = [&](const size_t* mib, size_t length) {
      return MallctlByMib(control_, mib, length, nullptr, nullptr, nullptr, 0);
    };
    for (size_t length = 0; length <= kMaxCtlDepth + 2; ++length) {
      if (length != path.depth) EXPECT_EQ(ask(whole, length), ENOENT) << name << " " << length;
    }
    for (size_t d = 0; d < path.depth; ++d) {
      size_t mib[kMaxCtlDepth + 2];
      memcpy(mib, whole, sizeof(mib));
      mib[d] = 1 << 20;
      EXPECT_EQ(ask(mib, path.depth), ENOENT) << name << " " << d;
      mib[d] = size_t{UINT_MAX} + 1;
      EXPECT_EQ(ask(mib, path.depth), path.IsIndex(d) ? EFAULT : ENOENT) << name << " " << d;
    }
  }
}

// A MIB whose index is varied is the name with that index.
TEST_F(CtlRulesTest, AMibFollowsItsIndex) {
  for (const std::string_view name : {"stats.arenas.0.bins.0.nmalloc", "arenas.bin.0.size"}) {
    size_t mib[kMaxCtlDepth];
    size_t length = kMaxCtlDepth;
    ASSERT_EQ(MallctlNameToMib(control_, std::string(name).c_str(), mib, &length), 0);
    for (size_t j = 0; j < kSizeClasses; ++j) {
      mib[length - 2] = j;
      const Answer by_mib = Collect(8, [&](void* oldp, size_t* oldlenp) {
        return MallctlByMib(control_, mib, length, oldp, oldlenp, nullptr, 0);
      });
      std::string text(name);
      text.replace(text.rfind(".0."), 3, "." + std::to_string(j) + ".");
      EXPECT_EQ(by_mib, ReadInto(text, 8)) << text;
    }
  }
}

}  // namespace
}  // namespace spanmalloc
