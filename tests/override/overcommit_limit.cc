// SPDX-License-Identifier: Apache-2.0
//
// With strict overcommit accounting (vm.overcommit_memory = 2) the heap starts, most of what the
// system still commits can be had, the end is NULL and ENOMEM, and freed memory is given back.
// The program changes the setting of the whole system for half a second: root only. Other processes
// keep 128 MiB (vm.user_reserve_kbytes), but one that asks for more just then is refused.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <initializer_list>

#include "tests/override/check.h"

namespace {

constexpr char kMode[] = "/proc/sys/vm/overcommit_memory";
constexpr char kKilobytes[] = "/proc/sys/vm/overcommit_kbytes";
constexpr char kRatio[] = "/proc/sys/vm/overcommit_ratio";

long ReadNumber(const char* path) {
  char text[64] = {};
  int fd = open(path, O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0) SKIP("cannot read %s", path);
  close(fd);
  return atol(text);
}

bool WriteNumber(const char* path, long number) {
  char text[32];
  int length = snprintf(text, sizeof(text), "%ld\n", number);
  int fd = open(path, O_WRONLY);
  bool written = fd >= 0 && write(fd, text, static_cast<size_t>(length)) == length;
  if (fd >= 0) close(fd);
  return written;
}

long CommittedKilobytes() {
  FILE* file = fopen("/proc/meminfo", "r");
  char line[128];
  long committed = 0;
  while (file != nullptr && fgets(line, sizeof(line), file) != nullptr) {
    if (sscanf(line, "Committed_AS: %ld", &committed) == 1) break;
  }
  if (file != nullptr) fclose(file);
  return committed;
}

int RunUnderLimit(size_t room) {
  // The kernel leaves a process a 32nd of its address space short of the limit, up to the reserve:
  // with this the reserve is left for everyone else.
  mmap(nullptr, size_t{16} << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void* blocks[4096];
  for (int round = 0; round < 3; ++round) {
    int count = 0;
    size_t size = round == 1 ? 300000 : 1u << 20;
    errno = 0;
    while (count < 4096) {
      if ((blocks[count] = malloc(size)) == nullptr) break;
      memset(blocks[count++], 1, size);
    }
    CHECK(count < 4096, "the limit does not hold");
    CHECK(errno == ENOMEM, "the refusal set errno %d", errno);
    size_t total = static_cast<size_t>(count) * size;
    CHECK(total > room / 4, "round %d: %zu bytes could be had of %zu", round, total, room);
    while (count > 0) free(blocks[--count]);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return RunUnderLimit(strtoull(argv[1], nullptr, 10));
  long mode = ReadNumber(kMode);
  long kilobytes = ReadNumber(kKilobytes);
  long ratio = ReadNumber(kRatio);
  constexpr long kRoom = 512 * 1024;  // in KiB, beyond what the system has committed already
  // SIGKILL apart, whatever happens to this process the settings are restored below.
  for (int number : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) signal(number, SIG_IGN);
  if (!WriteNumber(kKilobytes, CommittedKilobytes() + kRoom)) SKIP("no right to set overcommit");
  bool strict = WriteNumber(kMode, 2);
  int status = 0;
  pid_t child = strict ? vfork() : -1;
  if (child == 0) {
    char text[32];
    snprintf(text, sizeof(text), "%ld", kRoom * 1024);
    alarm(30);
    execl("/proc/self/exe", argv[0], text, nullptr);
    _exit(1);
  }
  if (child > 0) waitpid(child, &status, 0);
  WriteNumber(kMode, mode);
  if (kilobytes != 0) {
    WriteNumber(kKilobytes, kilobytes);
  } else {
    WriteNumber(kRatio, ratio);  // which also sets overcommit_kbytes to 0
  }
  if (child < 0) SKIP("strict overcommit could not be set");
  CHECK(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
  return WEXITSTATUS(status);
}
