// SPDX-License-Identifier: Apache-2.0
//
// realloc_growth: buffers that grow by half. By default one at a time, from 16 bytes to 1 MiB; with
// --many, a thousand in turn, each to a size of its own, as the strings and arrays of a program do.

#include <vector>

#include "absl/flags/flag.h"
#include "benchmarks/workloads/random.h"
#include "benchmarks/workloads/workload.h"

ABSL_FLAG(bool, many, false, "many buffers in turn");

namespace spanmalloc::workloads {
namespace {

constexpr size_t kMinSize = 16;
constexpr size_t kMaxSize = 1 << 20;
constexpr size_t kBuffers = 10'000;    // Grown one after the other.
constexpr size_t kManyBuffers = 1000;  // Growing at the same time.
constexpr size_t kManySteps = 2'000'000;
constexpr size_t kManyMinFinal = 1 << 10;
constexpr size_t kManyMaxFinal = 256 << 10;
constexpr size_t kStride = 64;

struct Buffer {
  char* start = nullptr;
  size_t size = 0;
  size_t final_size = 0;
};

// The size that follows `size`: half as large again, a multiple of 16.
size_t NextSize(size_t size) { return size == 0 ? kMinSize : (size + size / 2 + 15) & ~size_t{15}; }

// Grows the buffer by one step and writes to what is new.
void Grow(Buffer& buffer, uint64_t tag) {
  const size_t size = NextSize(buffer.size);
  buffer.start = static_cast<char*>(realloc(buffer.start, size));
  if (buffer.start == nullptr) FailOutOfMemory();
  Touch(buffer.start + buffer.size, size - buffer.size, tag, kStride);
  buffer.size = size;
}

// Reads what each step wrote: the sum is wrong if realloc lost any of it.
uint64_t Release(Buffer& buffer) {
  uint64_t checksum = 0;
  for (size_t size = 0; size < buffer.size; size = NextSize(size)) {
    checksum += TagOf(buffer.start + size);
  }
  free(buffer.start);
  buffer = Buffer();
  return checksum;
}

uint64_t GrowOneAtATime(size_t buffers) {
  uint64_t checksum = 0;
  for (size_t i = 0; i < buffers; ++i) {
    Buffer buffer;
    while (buffer.size < kMaxSize) Grow(buffer, i);
    checksum += Release(buffer);
  }
  return checksum;
}

uint64_t GrowMany(size_t steps) {
  Random random(1);
  std::vector<Buffer> buffers(kManyBuffers);
  uint64_t checksum = 0;
  for (size_t i = 0; i < steps; ++i) {
    Buffer& buffer = buffers[random.Below(kManyBuffers)];
    if (buffer.size == 0) buffer.final_size = random.LogUniform(kManyMinFinal, kManyMaxFinal);
    Grow(buffer, i);
    if (buffer.size >= buffer.final_size) checksum += Release(buffer);
  }
  for (Buffer& buffer : buffers) {
    if (buffer.size != 0) checksum += Release(buffer);
  }
  return checksum;
}

}  // namespace
}  // namespace spanmalloc::workloads

int main(int argc, char** argv) {
  using namespace spanmalloc::workloads;
  Start(argc, argv);
  const uint64_t checksum =
      absl::GetFlag(FLAGS_many) ? GrowMany(Scaled(kManySteps)) : GrowOneAtATime(Scaled(kBuffers));
  return Finish("realloc_growth", checksum);
}
