// SPDX-License-Identifier: Apache-2.0
//
// Writes a trace: gives blocks their numbers and keeps the sums of the header. Used by the programs
// that make traces; one thread.
#ifndef BENCHMARKS_TRACES_TRACE_WRITER_H_
#define BENCHMARKS_TRACES_TRACE_WRITER_H_

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "benchmarks/traces/trace_format.h"

namespace spanmalloc::traces {

class TraceWriter {
 public:
  // Ends the program if the file can't be written.
  explicit TraceWriter(const std::string& path);
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;
  ~TraceWriter();

  // Returns the block's number, which stands for it until it is freed. Threads count from 0.
  uint32_t Allocate(uint32_t thread, uint64_t size, unsigned alignment_log2 = 0);
  void Reallocate(uint32_t thread, uint32_t slot, uint64_t size);
  void Free(uint32_t thread, uint32_t slot);
  // Never before an earlier time.
  void Time(uint64_t ms);

  uint64_t events() const { return header_.events; }
  uint64_t live() const { return live_; }

 private:
  void Append(Operation operation, uint32_t thread, uint32_t slot, uint64_t size,
              unsigned alignment_log2);
  void Count(uint64_t bytes);

  FILE* file_;
  TraceHeader header_ = {};
  uint64_t live_ = 0;
  std::vector<uint64_t> sizes_;  // of each slot
  std::vector<uint32_t> free_slots_;
};

}  // namespace spanmalloc::traces

#endif  // BENCHMARKS_TRACES_TRACE_WRITER_H_
