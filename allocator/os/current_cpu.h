// SPDX-License-Identifier: Apache-2.0
//
// A small number for the CPU that the calling thread runs on, to choose a shard of the central
// free lists. It may be stale the moment it is returned; any answer is correct.
//
// Taken from the rseq area that glibc registers for every thread: the concurrency id where the
// kernel fills it in (dense: at most the number of threads, at most the CPUs the process may use),
// else the CPU's own number; from sched_getcpu where no area is registered. CPUs' own numbers are
// replaced by small ones in the order in which the process first runs on them. So the numbers
// follow the affinity of the process's threads by themselves, and no mask is ever asked for.
#ifndef SPANMALLOC_ALLOCATOR_OS_CURRENT_CPU_H_
#define SPANMALLOC_ALLOCATOR_OS_CURRENT_CPU_H_

#include <cstdint>

namespace spanmalloc::os {

enum class CpuNumberSource : uint8_t { kConcurrencyId, kCpuId, kGetCpu };

// Finds out which source this process has. Call once, before CurrentCpu is relied on; until then
// CurrentCpu uses sched_getcpu.
void DetectCpuNumberSource();

CpuNumberSource cpu_number_source();

uint32_t CurrentCpu();

// The CPU's own number, whatever the source; ~0 if it isn't known.
uint32_t CpuNumber();

// The number of CPUs that this process may run on (its affinity mask), at least 1.
uint32_t UsableCpus();

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_CURRENT_CPU_H_
