// SPDX-License-Identifier: Apache-2.0
//
// Random calls of mallctl, mallctlnametomib and mallctlbymib, in a program that has the allocator:
// names of the table, whole, cut short, with other indices and other letters; MIBs of any numbers;
// buffers of any size between guards. Whatever is asked, the result is one of the documented
// errors, nothing is written but what may be, and at the end all blocks can be freed and the
// program holds what it held before.
#include <errno.h>
#include <spanmalloc/spanmalloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/fuzz/fuzz.h"

namespace spanmalloc {
namespace {

constexpr size_t kMaxDepth = 7;
constexpr size_t kCalls = 300;

template <typename T>
T Read(const std::string& name) {
  T value = {};
  size_t length = sizeof(value);
  EXPECT_EQ(mallctl(name.c_str(), &value, &length, nullptr, 0), 0) << name;
  return value;
}

struct Name {
  std::string name;
  std::string type;
  std::string access;
};

std::vector<Name> ReadNames() {
  std::vector<Name> names;
  std::istringstream lines(Read<const char*>("spanmalloc.names"));
  for (std::string line; std::getline(lines, line);) {
    const std::string about = "spanmalloc.name." + std::to_string(names.size());
    names.push_back(
        {line, Read<const char*>(about + ".type"), Read<const char*>(about + ".access")});
  }
  return names;
}

const std::vector<Name>& Names() {
  static const std::vector<Name> names = ReadNames();
  return names;
}

// A buffer between guards.
class Guarded {
 public:
  static constexpr size_t kRoom = 64;

  // It starts with a pointer to a place that may be written: some names want one there.
  Guarded() {
    memset(bytes_, kGuard, sizeof(bytes_));
    memcpy(data(), &kSink, sizeof(kSink));
    memcpy(initial_, bytes_, sizeof(bytes_));
  }
  unsigned char* data() { return bytes_ + kRoom; }
  // Whether nothing but the first `count` bytes was written.
  bool IsWholeBeyond(size_t count) const {
    const size_t end = kRoom + count;
    return memcmp(bytes_, initial_, kRoom) == 0 &&
           memcmp(bytes_ + end, initial_ + end, sizeof(bytes_) - end) == 0;
  }

 private:
  static constexpr unsigned char kGuard = 0xa5;
  static inline char sink_[kRoom];
  static constexpr char* kSink = sink_;
  alignas(16) unsigned char bytes_[3 * kRoom];
  unsigned char initial_[3 * kRoom];
};

bool IsDocumented(int error) {
  switch (error) {
    case 0:
    case EINVAL:
    case EPERM:
    case ENOENT:
    case EFAULT:
    case EAGAIN:
      return true;
    default:
      return false;
  }
}

size_t AnyIndex(Choices& choices) {
  switch (choices.Below(8)) {
    case 0:
      return 4096;
    case 1:
      return 4097;
    case 2:
      return Read<unsigned>("arenas.narenas");
    case 3:
      return size_t{1} << (28 + choices.Below(36));
    default:
      return choices.Below(100);
  }
}

std::string WithIndices(std::string name, Choices& choices) {
  for (size_t at = name.find('<'); at != std::string::npos; at = name.find('<')) {
    name.replace(at, name.find('>') - at + 1, std::to_string(AnyIndex(choices)));
  }
  return name;
}

std::string Mutated(std::string name, Choices& choices) {
  while (choices.OneIn(2)) {
    const size_t at = choices.Below(name.size() + 1);
    switch (choices.Below(5)) {
      case 0:
        name.insert(at, 1, "..09azZ_<>- "[choices.Below(12)]);
        break;
      case 1:
        name.resize(at);
        break;
      case 2:
        if (at < name.size()) name[at] = static_cast<char>(1 + choices.Below(255));
        break;
      case 3:
        name += "." + std::to_string(choices.Below(10));
        break;
      default:
        name += "." + name;
        name.resize(std::min<size_t>(name.size(), 5000));
        break;
    }
  }
  return name;
}

// What a write may ask for without changing the program's ways: hooks that would be called, limits
// and arenas of other threads are left alone.
bool MayWrite(const std::string& name) {
  for (const char* part : {"hook", "spanmalloc.limit", "dirty_decay_ms", "thread.arena", "tcache.",
                           "background_thread"}) {
    if (name.find(part) != std::string::npos) return false;
  }
  return true;
}

struct Arguments {
  Guarded old_buffer;
  size_t old_length = 0;
  bool has_old = false;
  bool has_length = false;
  Guarded new_buffer;
  size_t new_length = 0;
  bool has_new = false;

  Arguments(Choices& choices, bool may_read, bool may_write) {
    static constexpr size_t kSizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, Guarded::kRoom};
    has_old = may_read && !choices.OneIn(3);
    has_length = has_old ? !choices.OneIn(8) : choices.OneIn(4);
    old_length = kSizes[choices.Below(std::size(kSizes))];
    if (may_write && choices.OneIn(3)) {
      has_new = !choices.OneIn(8);
      new_length = kSizes[choices.Below(std::size(kSizes))];
      // Small numbers; no address is ever read from them, for strings aren't written.
      memset(new_buffer.data(), 0, Guarded::kRoom);
      new_buffer.data()[0] = static_cast<unsigned char>(choices.Below(2));
    }
  }
  void* oldp() { return has_old ? old_buffer.data() : nullptr; }
  size_t* oldlenp() { return has_length ? &old_length : nullptr; }
  void* newp() { return has_new ? new_buffer.data() : nullptr; }
};

void Check(Arguments& arguments, size_t asked, int error, const std::string& what) {
  EXPECT_TRUE(IsDocumented(error)) << what << ": " << error;
  const size_t may_hold =
      arguments.has_old && arguments.has_length ? std::min(asked, size_t{8}) : 0;
  EXPECT_TRUE(arguments.old_buffer.IsWholeBeyond(may_hold)) << what;
  EXPECT_LE(arguments.old_length, asked) << what;
}

bool IsWritten(const Name& name) {
  return name.access == "rw" && name.type != "str" && name.type != "p" && MayWrite(name.name);
}

// To read it makes something, which nobody would take away.
bool Makes(const std::string& name) { return name.find(".create") != std::string::npos; }

void CallByName(const Name& name, Choices& choices) {
  const std::string text = Mutated(WithIndices(name.name, choices), choices);
  // A mutation may have made it another name.
  Arguments arguments(choices, !Makes(text),
                      IsWritten(name) && text.find("hook") == std::string::npos && MayWrite(text) &&
                          text.find("dss") == std::string::npos);
  const size_t asked = arguments.old_length;
  const int error = mallctl(text.c_str(), arguments.oldp(), arguments.oldlenp(), arguments.newp(),
                            arguments.new_length);
  Check(arguments, asked, error, text);
}

void CallToMib(const Name& name, Choices& choices) {
  const std::string text = Mutated(WithIndices(name.name, choices), choices);
  size_t mib[kMaxDepth + 3];
  std::fill(std::begin(mib), std::end(mib), size_t{77});
  size_t length = choices.Below(kMaxDepth + 3);
  const size_t room = length;
  const int error = mallctlnametomib(text.c_str(), mib, &length);
  EXPECT_TRUE(error == 0 || error == ENOENT) << text << ": " << error;
  EXPECT_LE(length, room) << text;
  for (size_t d = error == 0 ? length : 0; d < std::size(mib); ++d) EXPECT_EQ(mib[d], 77u) << text;
}

void CallByMib(const Name& name, Choices& choices) {
  std::string text = name.name;
  for (size_t at = text.find('<'); at != std::string::npos; at = text.find('<')) {
    text.replace(at, text.find('>') - at + 1, "0");
  }
  size_t mib[kMaxDepth + 3] = {};
  size_t length = kMaxDepth;
  ASSERT_EQ(mallctlnametomib(text.c_str(), mib, &length), 0) << text;
  bool written = IsWritten(name);
  while (choices.OneIn(2)) {
    written = false;  // it may be another name's
    mib[choices.Below(kMaxDepth)] =
        choices.OneIn(2) ? AnyIndex(choices) : choices.Below(Names().size() + 10);
    if (choices.OneIn(4)) length = choices.Below(kMaxDepth + 3);
  }
  Arguments arguments(choices, !Makes(name.name), written);
  const size_t asked = arguments.old_length;
  const int error = mallctlbymib(mib, length, arguments.oldp(), arguments.oldlenp(),
                                 arguments.newp(), arguments.new_length);
  Check(arguments, asked, error, "the MIB of " + text + ", changed");
}

// Extent hooks chained to the default ones: as they are; of a pool that notes what it has given;
// failing from the n-th call on; returning what is no good.
enum class Kind { kNone, kChained, kPool, kFailing, kLying };

extent_hooks_t* defaults = nullptr;
size_t calls_left = 0;  // until all of them fail
std::map<void*, size_t> pool;

void* Alloc(extent_hooks_t*, void* new_addr, size_t size, size_t alignment, bool* zero,
            bool* commit, unsigned arena) {
  if (calls_left == 0) return nullptr;
  --calls_left;
  void* memory = defaults->alloc(defaults, new_addr, size, alignment, zero, commit, arena);
  if (memory != nullptr) pool[memory] = size;
  return memory;
}
void* AllocLies(extent_hooks_t* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                bool* commit, unsigned arena) {
  --calls_left;
  // What is in use, what isn't aligned, what the heap has.
  if (calls_left % 6 == 0 && !pool.empty()) return pool.begin()->first;
  if (calls_left % 6 == 1) return &pool;
  if (calls_left % 6 == 2) {
    void* block = mallocx(size, MALLOCX_ALIGN(alignment));
    free(block);
    return block;
  }
  return Alloc(hooks, new_addr, size, alignment, zero, commit, arena);
}
bool Dalloc(extent_hooks_t*, void* memory, size_t size, bool committed, unsigned arena) {
  const auto found = pool.find(memory);
  if (found == pool.end()) return false;  // one of the lies
  EXPECT_EQ(found->second, size);
  if (calls_left == 0 || --calls_left % 3 == 0) return true;
  pool.erase(found);
  return defaults->dalloc(defaults, memory, size, committed, arena);
}
void Destroy(extent_hooks_t*, void* memory, size_t size, bool committed, unsigned arena) {
  if (pool.erase(memory) != 0) defaults->destroy(defaults, memory, size, committed, arena);
}
bool Purge(extent_hooks_t*, void* memory, size_t size, size_t offset, size_t length,
           unsigned arena) {
  return calls_left == 0 || defaults->purge_forced(defaults, memory, size, offset, length, arena);
}
bool Split(extent_hooks_t*, void* memory, size_t, size_t size_a, size_t size_b, bool, unsigned) {
  if (calls_left == 0) return true;
  pool[memory] = size_a;
  pool[static_cast<char*>(memory) + size_a] = size_b;
  return false;
}
bool Merge(extent_hooks_t*, void* memory, size_t size_a, void* behind, size_t size_b, bool,
           unsigned) {
  if (calls_left == 0) return true;
  pool.erase(behind);
  pool[memory] = size_a + size_b;
  return false;
}

extent_hooks_t* HooksOf(Kind kind, Choices& choices) {
  static extent_hooks_t hooks;
  defaults = Read<extent_hooks_t*>("arena.0.extent_hooks");
  calls_left = kind == Kind::kFailing ? choices.Below(20) : 1'000'000;
  hooks = *defaults;
  if (kind == Kind::kChained) return &hooks;
  hooks = {&Alloc, &Dalloc, &Destroy, nullptr, nullptr, nullptr, &Purge, &Split, &Merge};
  if (kind == Kind::kLying) hooks.alloc = &AllocLies;
  if (choices.OneIn(4)) hooks.merge = nullptr;
  return &hooks;
}

// Arenas made and destroyed, with blocks in them.
void UseArena(Choices& choices) {
  unsigned arena = 0;
  size_t length = sizeof(arena);
  const auto kind = static_cast<Kind>(choices.Below(5));
  extent_hooks_t* hooks = HooksOf(kind, choices);
  const bool hooked = kind != Kind::kNone;
  if (kind == Kind::kLying) testing::internal::CaptureStderr();
  ASSERT_EQ(mallctl("arenas.create", &arena, &length, hooked ? &hooks : nullptr,
                    hooked ? sizeof(hooks) : 0),
            0);
  const int flags = static_cast<int>((arena + 1) << 20) | 0x100;
  const std::string name = "arena." + std::to_string(arena);
  std::vector<void*> blocks;
  for (size_t i = choices.Below(40); i > 0; --i) {
    void* block = mallocx(choices.Magnitude(1 << 23), flags);
    EXPECT_TRUE(block != nullptr || kind == Kind::kFailing || kind == Kind::kLying);
    if (block != nullptr) blocks.push_back(block);
    if (!blocks.empty() && choices.OneIn(3)) {
      void* moved = rallocx(blocks.back(), choices.Magnitude(1 << 23), flags);
      if (moved != nullptr) blocks.back() = moved;
    }
    if (!blocks.empty() && choices.OneIn(3)) {
      free(blocks.front());
      blocks.erase(blocks.begin());
    }
    if (choices.OneIn(8)) {
      const char* const actions[] = {".purge", ".decay", ".reset"};
      const size_t action = choices.Below(3);
      EXPECT_EQ(mallctl((name + actions[action]).c_str(), nullptr, nullptr, nullptr, 0), 0);
      if (action == 2) blocks.clear();
    }
  }
  const std::string destroy = name + ".destroy";
  EXPECT_EQ(mallctl(destroy.c_str(), nullptr, nullptr, nullptr, 0), 0);
  const int again = mallctl(destroy.c_str(), nullptr, nullptr, nullptr, 0);
  EXPECT_TRUE(again == EFAULT || again == ENOENT) << again;
  EXPECT_TRUE(pool.empty());
  if (kind == Kind::kLying) testing::internal::GetCapturedStderr();
}

size_t Held() {
  uint64_t epoch = 1;
  EXPECT_EQ(mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch)), 0);
  return Read<size_t>("stats.allocated");
}

void Settle() {
  bool off = false;
  EXPECT_EQ(mallctl("spanmalloc.thread.counting", nullptr, nullptr, &off, sizeof(off)), 0);
}

void Round(Choices& choices) {
  Names();
  const size_t before = Held();
  {
    std::vector<void*> blocks;
    for (size_t i = 0; i < kCalls && !testing::Test::HasFailure(); ++i) {
      const Name& name = Names()[choices.Below(Names().size())];
      switch (choices.Below(4)) {
        case 0:
          CallToMib(name, choices);
          break;
        case 1:
          CallByMib(name, choices);
          break;
        default:
          CallByName(name, choices);
          break;
      }
      if (choices.OneIn(4)) blocks.push_back(malloc(choices.Magnitude(1 << 19)));
      if (choices.OneIn(100)) UseArena(choices);
    }
    for (void* block : blocks) free(block);
  }
  Settle();
  EXPECT_EQ(Held(), before);
}

TEST(MallctlFuzz, NothingBreaksAndNothingLeaks) { ForEachSeed(300, &Round); }

}  // namespace
}  // namespace spanmalloc
