// SPDX-License-Identifier: Apache-2.0
//
// Where the kernel has addresses of 39 bits only (arm64 can be built so), or of 47 (as x86-64), the
// heap finds a place among them and serves all the same.

#include <errno.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/override/check.h"
#include "tests/override/seccomp_filter.h"

namespace {

// Refuses mappings at wished addresses from 2^bits on. The programs that this one starts inherit
// it.
void RefuseAddressesFrom(int bits) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0]) + 4),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 1u << (bits - 32), 0, 3),
      // The loader maps a library's parts over its first mapping, wherever the kernel put it.
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[3])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x10, 1, 0),  // MAP_FIXED
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog filter = {sizeof(program) / sizeof(*program), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    SKIP("seccomp filters are not permitted");
  }
}

int RunBelow(int bits) {
  static void* blocks[2000];
  static size_t sizes[2000];
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < 2000; ++i) {
      sizes[i] = i % 50 == 0 ? i << 11 : 1 + i * 13 % 5000;
      blocks[i] = malloc(sizes[i]);
      CHECK(blocks[i] != nullptr, "malloc(%zu) failed", sizes[i]);
      CHECK(reinterpret_cast<uintptr_t>(blocks[i]) >> bits == 0, "%p", blocks[i]);
      check::Fill(blocks[i], sizes[i] < 4096 ? sizes[i] : 4096, static_cast<uint32_t>(i));
    }
    for (size_t i = 0; i < 2000; i += 3) blocks[i] = realloc(blocks[i], sizes[i] *= 2);
    for (size_t i = 0; i < 2000; ++i) {
      CHECK(
          check::Holds(blocks[i], sizes[i] < 4096 ? sizes[i] / 2 : 2048, static_cast<uint32_t>(i)),
          "a block of %zu changed", sizes[i]);
      if (i % 2 == 0) {
        operator delete(blocks[i], sizes[i]);
      } else {
        free(blocks[i]);
      }
    }
    malloc_trim(0);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunBelow(atoi(argv[1]));
  for (const char* bits : {"39", "47"}) {
    pid_t child = fork();
    if (child == 0) {
      RefuseAddressesFrom(atoi(bits));
      execl("/proc/self/exe", argv[0], bits, nullptr);
      FAIL("cannot run with %s bits", bits);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status), "with %s bits: killed by signal %d", bits, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
  }
  return 0;
}
