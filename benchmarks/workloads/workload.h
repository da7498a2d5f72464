// SPDX-License-Identifier: Apache-2.0
//
// What every workload shares: flags, the three allocation interfaces, touching of blocks, threads,
// and the one line of result.
//
// A workload does a fixed amount of work, whatever the allocator: it writes a tag into each block
// it allocates and adds up the tags it finds in the blocks it frees. The sum does not depend on how
// threads interleave, so it must be the same under every allocator; the harness checks that.

#ifndef BENCHMARKS_WORKLOADS_WORKLOAD_H_
#define BENCHMARKS_WORKLOADS_WORKLOAD_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

namespace spanmalloc::workloads {

// Parses the flags. The first statement of every main().
void Start(int argc, char** argv);

// `work` times --scale, at least 1.
size_t Scaled(size_t work);

// --threads.
int ThreadCount();

// Prints the line of result on stdout. The return value of main().
int Finish(std::string_view workload, uint64_t checksum);

// Prints `metric <name> <value>` on stderr: a figure that may differ between allocators.
void ReportMetric(std::string_view name, double value);

// This process's resident memory now, in MiB.
double ResidentMib();

// Says that an allocation failed and ends the process.
[[noreturn]] void FailOutOfMemory();

// Hides from the compiler where `block` came from and makes it assume that it is read: no
// allocation can be optimised away.
inline void Escape(void* block) { asm volatile("" : : "r"(block) : "memory"); }

// Ends the process if `block` is null. Writes `tag` at the start of a block of at least 8 bytes and
// again every `stride` bytes.
inline void Touch(void* block, size_t size, uint64_t tag, size_t stride = 256) {
  if (block == nullptr) FailOutOfMemory();
  char* bytes = static_cast<char*>(block);
  for (size_t offset = 0; offset + sizeof(tag) <= size; offset += stride) {
    *reinterpret_cast<uint64_t*>(bytes + offset) = tag;
  }
  Escape(block);
}

// The tag of a touched block.
inline uint64_t TagOf(const void* block) { return *static_cast<const uint64_t*>(block); }

// Frees a touched block and returns its tag; 0 for NULL.
inline uint64_t FreeTagged(void* block) {
  if (block == nullptr) return 0;
  const uint64_t tag = TagOf(block);
  free(block);
  return tag;
}

// Does so with each of them and returns the sum.
template <typename Blocks>
uint64_t FreeAll(const Blocks& blocks) {
  uint64_t sum = 0;
  for (void* block : blocks) sum += FreeTagged(block);
  return sum;
}

// The interfaces a workload can be run with. Each is the plain library call: a direct call of
// operator new, unlike a new-expression, may not be elided.
struct MallocFree {
  static void* Allocate(size_t size) { return malloc(size); }
  static void Free(void* block, size_t) { free(block); }
};

struct NewDelete {
  static void* Allocate(size_t size) { return ::operator new(size); }
  static void Free(void* block, size_t) { ::operator delete(block); }
};

struct NewSizedDelete {
  static void* Allocate(size_t size) { return ::operator new(size); }
  static void Free(void* block, size_t size) { ::operator delete(block, size); }
};

// --interface: malloc, new or sized.
std::string_view Interface();

// Calls body.operator()<I>() with the interface that --interface names.
template <typename Body>
uint64_t WithInterface(Body body) {
  if (Interface() == "new") return body.template operator()<NewDelete>();
  if (Interface() == "sized") return body.template operator()<NewSizedDelete>();
  return body.template operator()<MallocFree>();
}

// Runs body(0) ... body(count - 1) in a thread each and returns the sum of what they return.
template <typename Body>
uint64_t RunThreads(int count, Body body) {
  std::vector<uint64_t> sums(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&sums, &body, i] { sums[i] = body(i); });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace spanmalloc::workloads

#endif  // BENCHMARKS_WORKLOADS_WORKLOAD_H_
