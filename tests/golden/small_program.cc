// SPDX-License-Identifier: Apache-2.0
//
// A program that does little: allocates a block, frees it, and prints what of its address space is
// resident (/proc/self/smaps) by system calls alone.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main() {
  void* block = malloc(100);
  asm volatile("" : "+r"(block) : : "memory");
  free(block);
  static char text[1 << 16];
  const int file = open("/proc/self/smaps", O_RDONLY);
  for (ssize_t size; (size = read(file, text, sizeof(text))) > 0;) {
    if (write(STDOUT_FILENO, text, static_cast<size_t>(size)) != size) return 1;
  }
  return 0;
}
