// SPDX-License-Identifier: Apache-2.0
//
// System calls made directly, for this folder alone. They leave errno as it was (malloc and free
// must), are no cancellation points, and can't be interposed by the program. Results are the
// kernel's: a negative errno on failure.
#ifndef SPANMALLOC_ALLOCATOR_OS_SYSTEM_CALL_H_
#define SPANMALLOC_ALLOCATOR_OS_SYSTEM_CALL_H_

#include <sys/syscall.h>

#include <cstdint>

namespace spanmalloc::os {

#if defined(__x86_64__)

inline long SystemCall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                       long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

#elif defined(__aarch64__)

inline long SystemCall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                       long f = 0) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}

#else
#error "spanmalloc supports x86-64 and arm64"
#endif

// Whether a kernel result is an error.
inline bool IsError(long result) { return result < 0 && result >= -4095; }

inline long AsArgument(const void* pointer) { return reinterpret_cast<long>(pointer); }

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_SYSTEM_CALL_H_
