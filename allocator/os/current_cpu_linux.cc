// SPDX-License-Identifier: Apache-2.0
//
// Reads of glibc's rseq area, whose registration stays glibc's. (Only cpu_stacks_linux.cc writes to
// it.)
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/auxv.h>

#include <atomic>

#include "allocator/os/current_cpu.h"
#include "allocator/os/system_call.h"
#include "allocator/util/attributes.h"
#include "allocator/util/sharing_counts.h"

// Exported by glibc since 2.35; absent elsewhere.
extern "C" {
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
}

namespace spanmalloc::os {
namespace {

// The layout of struct rseq, which the kernel's ABI fixes.
constexpr ptrdiff_t kCpuIdOffset = 4;
constexpr ptrdiff_t kConcurrencyIdOffset = 24;
constexpr unsigned long kSizeWithConcurrencyId = 28;

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif

std::atomic<CpuNumberSource> source{CpuNumberSource::kGetCpu};

// CPUs numbered beyond keep their numbers.
constexpr uint32_t kCpus = 1024;

// The small number of each CPU that a thread of this process was found on, plus 1.
std::atomic<uint16_t> small_numbers[kCpus];
std::atomic<uint16_t> small_numbers_given{0};

// A number for a CPU in the order in which they are first met, so that the numbers are as dense as
// the set of CPUs that the process may use, whichever they are.
uint32_t SmallNumber(uint32_t cpu) {
  if (cpu >= kCpus) return cpu;
  uint16_t number = small_numbers[cpu].load(std::memory_order_relaxed);
  if (ABSL_PREDICT_FALSE(number == 0)) {
    const auto next =
        static_cast<uint16_t>(small_numbers_given.fetch_add(1, std::memory_order_relaxed) + 1);
    // Of two threads that meet a CPU at once the first wins; the other's number is lost.
    if (small_numbers[cpu].compare_exchange_strong(number, next, std::memory_order_relaxed)) {
      number = next;
    }
  }
  return number - 1u;
}

uint32_t ReadRseqField(ptrdiff_t field) {
  const char* area = static_cast<const char*>(__builtin_thread_pointer()) + __rseq_offset;
  return *reinterpret_cast<const volatile uint32_t*>(area + field);
}

// What the C library says, which sets errno where it doesn't know. Who asks for memory or returns
// it shall find that as it was.
template <typename Ask>
auto AskLibrary(Ask ask) {
  const int saved = errno;
  const auto answer = ask();
  errno = saved;
  return answer;
}

// Negative if it isn't known.
uint32_t LibraryCpu() {
  return static_cast<uint32_t>(AskLibrary([] { return sched_getcpu(); }));
}

}  // namespace

void DetectCpuNumberSource() {
  if (&__rseq_size == nullptr || &__rseq_offset == nullptr || __rseq_size == 0) return;
  const unsigned long size = AskLibrary([] { return getauxval(AT_RSEQ_FEATURE_SIZE); });
  source.store(
      size >= kSizeWithConcurrencyId ? CpuNumberSource::kConcurrencyId : CpuNumberSource::kCpuId,
      std::memory_order_relaxed);
}

CpuNumberSource cpu_number_source() { return source.load(std::memory_order_relaxed); }

uint32_t CurrentCpu() {
#ifdef SPANMALLOC_COUNTING
  return CountedThread();
#endif
  uint32_t number = ~0u;
  const CpuNumberSource used = cpu_number_source();
  switch (used) {
    case CpuNumberSource::kConcurrencyId:
      number = ReadRseqField(kConcurrencyIdOffset);
      break;
    case CpuNumberSource::kCpuId:
      number = ReadRseqField(kCpuIdOffset);
      break;
    case CpuNumberSource::kGetCpu:
      number = LibraryCpu();
      break;
  }
  // A thread that isn't registered reads a negative number.
  if (static_cast<int32_t>(number) < 0) return 0;
  return used == CpuNumberSource::kConcurrencyId ? number : SmallNumber(number);
}

uint32_t CpuNumber() {
#ifdef SPANMALLOC_COUNTING
  return CountedThread();
#endif
  const uint32_t number =
      cpu_number_source() == CpuNumberSource::kGetCpu ? LibraryCpu() : ReadRseqField(kCpuIdOffset);
  return static_cast<int32_t>(number) < 0 ? ~0u : number;
}

uint32_t UsableCpus() {
  unsigned long mask[1024 / sizeof(unsigned long)];  // as far as the kernel fills it
  const long bytes = SystemCall(SYS_sched_getaffinity, 0, sizeof(mask), AsArgument(mask));
  uint32_t count = 0;
  for (long i = 0; i < bytes / static_cast<long>(sizeof(mask[0])); ++i) {
    count += static_cast<uint32_t>(__builtin_popcountl(mask[i]));
  }
  return count == 0 ? 1 : count;
}

}  // namespace spanmalloc::os
