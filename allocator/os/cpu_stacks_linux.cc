// SPDX-License-Identifier: Apache-2.0
//
// The restartable sequences of cpu_stacks.h. The area and its registration are glibc's; a sequence
// writes the area's field for it, as the kernel's ABI wants. A broken-off sequence isn't begun
// again: its caller's slow path serves.
#include <linux/membarrier.h>

#include "allocator/os/cpu_stacks.h"
#include "allocator/os/system_call.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SPANMALLOC_NO_SEQUENCES  // it doesn't see what they do
#endif
#endif
#if !defined(__x86_64__) || defined(SPANMALLOC_COUNTING)
#define SPANMALLOC_NO_SEQUENCES
#endif

namespace spanmalloc::os {

#ifdef SPANMALLOC_NO_SEQUENCES

bool CpuStacks::Available() { return false; }
void* CpuStacks::Pop(size_t) { return nullptr; }
bool CpuStacks::Push(size_t, void*) { return false; }
size_t CpuStacks::Take() { return kCpus; }

#else

// Exported by glibc since 2.35; absent elsewhere.
extern "C" {
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
}

bool CpuStacks::Available() {
  return &__rseq_size != nullptr && &__rseq_offset != nullptr && __rseq_size != 0;
}

// The beginning of a sequence, which ends at label 2 or leaves for label 4. Registers: `area`, its
// offset from the thread pointer; `slots`; `cpu`, which becomes the CPU's number; `stacks`, what
// its slot points to. What the kernel wants to know of a sequence is its start, its length and
// where to go on if it is broken off, which is marked by a signature in front.
#define BEGIN_SEQUENCE                          \
  ".pushsection .data.rel.ro.rseq_cs, \"aw\"\n" \
  ".balign 32\n"                                \
  "5: .long 0, 0\n"                             \
  ".quad 1f, 2f - 1f, 6f\n"                     \
  ".popsection\n"                               \
  ".pushsection .text.rseq_failure, \"ax\"\n"   \
  ".byte 0x0f, 0xb9, 0x3d\n"                    \
  ".long 0x53053053\n"                          \
  "6: jmp 4f\n"                                 \
  ".popsection\n"                               \
  "lea 5b(%%rip), %[cpu]\n"                     \
  "mov %[cpu], %%fs:8(%[area])\n"               \
  "1:\n"                                        \
  "mov %%fs:4(%[area]), %k[cpu]\n"              \
  "cmp %[cpus], %k[cpu]\n"                      \
  "jae 4f\n"                                    \
  "mov (%[slots],%[cpu],8), %[stacks]\n"        \
  "cmp %[taken], %[stacks]\n"                   \
  "jbe 4f\n"

void* CpuStacks::Pop(size_t c) {
  void* object = nullptr;
  uintptr_t cpu, stacks, top;
  __asm__ volatile(
      BEGIN_SEQUENCE
      "mov (%[stacks],%[c],8), %[top]\n"
      "mov -8(%[top]), %[cpu]\n"
      "test %[cpu], %[cpu]\n"
      "jz 4f\n"
      "sub $8, %[top]\n"
      "mov %[top], (%[stacks],%[c],8)\n"
      "2: mov %[cpu], %[object]\n"
      "4:\n"
      : [object] "+&r"(object), [cpu] "=&r"(cpu), [stacks] "=&r"(stacks), [top] "=&r"(top)
      : [area] "r"(__rseq_offset), [slots] "r"(slots_), [c] "r"(c), [cpus] "i"(kCpus),
        [taken] "i"(kTaken)
      : "memory", "cc");
  return object;
}

bool CpuStacks::Push(size_t c, void* object) {
  uintptr_t pushed = 0;
  uintptr_t cpu, stacks, top;
  __asm__ volatile(
      BEGIN_SEQUENCE
      "mov (%[stacks],%[c],8), %[top]\n"
      "cmp %c[limits](%[stacks],%[c],8), %[top]\n"
      "jae 4f\n"
      "mov %[object], (%[top])\n"
      "add $8, %[top]\n"
      "mov %[top], (%[stacks],%[c],8)\n"
      "2: mov $1, %k[pushed]\n"
      "4:\n"
      : [pushed] "+&r"(pushed), [cpu] "=&r"(cpu), [stacks] "=&r"(stacks), [top] "=&r"(top)
      : [area] "r"(__rseq_offset), [slots] "r"(slots_), [c] "r"(c), [object] "r"(object),
        [limits] "i"(kLimits), [cpus] "i"(kCpus), [taken] "i"(kTaken)
      : "memory", "cc");
  return pushed != 0;
}

size_t CpuStacks::Take() {
  size_t taken = kCpus;
  uintptr_t cpu, stacks;
  __asm__ volatile(
      BEGIN_SEQUENCE
      "movq %[taken], (%[slots],%[cpu],8)\n"
      "2: mov %[cpu], %[from]\n"
      "4:\n"
      : [from] "+&r"(taken), [cpu] "=&r"(cpu), [stacks] "=&r"(stacks)
      : [area] "r"(__rseq_offset), [slots] "r"(slots_), [cpus] "i"(kCpus), [taken] "i"(kTaken)
      : "memory", "cc");
  return taken;
}

#undef BEGIN_SEQUENCE

#endif

bool CpuStacks::BarrierOnCpus() {
  return SystemCall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) == 0 &&
         SystemCall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == 0;
}

}  // namespace spanmalloc::os
