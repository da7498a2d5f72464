// SPDX-License-Identifier: Apache-2.0
//
// The two files in which a program's calls of malloc are kept. Both are events of 16 bytes behind a
// header of 64.
//
// A raw trace, which recorder.cc writes while the program runs, names blocks by their addresses. A
// trace, which prepare_trace.cc makes of it, names them by numbers that are used again, so that the
// replayer needs no table to look addresses up in, only an array.
#ifndef BENCHMARKS_TRACES_TRACE_FORMAT_H_
#define BENCHMARKS_TRACES_TRACE_FORMAT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace spanmalloc::traces {

enum class Operation : uint8_t {
  kNone,  // never written: the program ended in between
  kAllocate,
  kReallocBegin,  // raw only: the block that goes
  kReallocate,    // raw: what came of it
  kFree,
  kTime,  // size: milliseconds since the start
};

inline constexpr uint64_t kRawMagic = 0x776172'6e617073;
inline constexpr uint64_t kTraceMagic = 0x65636172'74617073;
inline constexpr unsigned kMaxThreads = 4096;  // of a raw trace

struct alignas(64) RawHeader {
  uint64_t magic;
  std::atomic<uint64_t> events;
};

struct RawEvent {
  uint64_t size : 52;
  uint64_t thread : 12;
  uint64_t address : 48;
  uint64_t alignment_log2 : 8;  // 0: malloc's own
  uint64_t operation : 8;
};
static_assert(sizeof(RawEvent) == 16);

struct alignas(64) TraceHeader {
  uint64_t magic;
  uint64_t events;
  uint64_t slots;
  uint64_t threads;
  uint64_t peak_live;  // bytes
};

struct Event {
  uint64_t size : 52;
  uint64_t alignment_log2 : 6;  // 0: malloc's own
  uint64_t operation : 6;
  uint32_t slot;
  uint32_t thread;
};
static_assert(sizeof(Event) == 16);

}  // namespace spanmalloc::traces

#endif  // BENCHMARKS_TRACES_TRACE_FORMAT_H_
