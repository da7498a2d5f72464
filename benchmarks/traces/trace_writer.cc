// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/traces/trace_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace spanmalloc::traces {
namespace {

void WriteOrDie(FILE* file, const void* data, size_t size) {
  if (fwrite(data, size, 1, file) == 1) return;
  fprintf(stderr, "cannot write the trace: %s\n", strerror(errno));
  exit(1);
}

}  // namespace

TraceWriter::TraceWriter(const std::string& path) : file_(fopen(path.c_str(), "w")) {
  if (file_ == nullptr) {
    fprintf(stderr, "%s: %s\n", path.c_str(), strerror(errno));
    exit(1);
  }
  header_.magic = kTraceMagic;
  WriteOrDie(file_, &header_, sizeof(header_));
}

TraceWriter::~TraceWriter() {
  header_.slots = sizes_.size();
  if (fseek(file_, 0, SEEK_SET) != 0) exit(1);
  WriteOrDie(file_, &header_, sizeof(header_));
  if (fclose(file_) != 0) exit(1);
}

uint32_t TraceWriter::Allocate(uint32_t thread, uint64_t size, unsigned alignment_log2) {
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(sizes_.size());
    sizes_.push_back(size);
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
    sizes_[slot] = size;
  }
  Count(size);
  Append(Operation::kAllocate, thread, slot, size, alignment_log2);
  return slot;
}

void TraceWriter::Reallocate(uint32_t thread, uint32_t slot, uint64_t size) {
  Count(size - sizes_[slot]);
  sizes_[slot] = size;
  Append(Operation::kReallocate, thread, slot, size, 0);
}

void TraceWriter::Free(uint32_t thread, uint32_t slot) {
  Count(0 - sizes_[slot]);
  free_slots_.push_back(slot);
  Append(Operation::kFree, thread, slot, 0, 0);
}

void TraceWriter::Time(uint64_t ms) { Append(Operation::kTime, 0, 0, ms, 0); }

void TraceWriter::Count(uint64_t bytes) {
  live_ += bytes;
  header_.peak_live = std::max(header_.peak_live, live_);
}

void TraceWriter::Append(Operation operation, uint32_t thread, uint32_t slot, uint64_t size,
                         unsigned alignment_log2) {
  const Event event = {.size = size,
                       .alignment_log2 = alignment_log2,
                       .operation = static_cast<uint64_t>(operation),
                       .slot = slot,
                       .thread = thread};
  WriteOrDie(file_, &event, sizeof(event));
  ++header_.events;
  header_.threads = std::max<uint64_t>(header_.threads, thread + 1);
}

}  // namespace spanmalloc::traces
