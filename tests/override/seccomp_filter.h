// SPDX-License-Identifier: Apache-2.0
//
// Makes chosen system calls of this process fail with a chosen errno from now on, by a seccomp
// filter; used by the programs that deny the allocator its calls.

#ifndef SPANMALLOC_TESTS_OVERRIDE_SECCOMP_FILTER_H_
#define SPANMALLOC_TESTS_OVERRIDE_SECCOMP_FILTER_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace seccomp_filter {

// Programs for all threads that do not exist yet and this one; install before starting threads.
inline void Deny(std::initializer_list<int> calls, int error) {
  sock_filter program[32];
  unsigned short length = 0;
  program[length++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (int call : calls) {
    program[length++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1);
    program[length++] =
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & 0xffff));
  }
  program[length++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  sock_fprog filter = {length, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) SKIP("seccomp filters are not permitted");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    SKIP("seccomp filters are not permitted");
  }
}

}  // namespace seccomp_filter

#endif  // SPANMALLOC_TESTS_OVERRIDE_SECCOMP_FILTER_H_
