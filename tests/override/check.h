// SPDX-License-Identifier: Apache-2.0
//
// What every whole-allocator program in tests/{conformance,override,stress} shares: one way to
// fail, one way to be skipped, values the compiler cannot see through, and patterns that show
// whether a block still holds what was written to it.
//
// The programs call the allocator by its C and C++ names only, so they run against whichever
// library is preloaded. Nothing here allocates: a broken heap can still report.

#ifndef SPANMALLOC_TESTS_OVERRIDE_CHECK_H_
#define SPANMALLOC_TESTS_OVERRIDE_CHECK_H_

#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

namespace check {

constexpr int kSkipped = 77;  // the exit status the runner reports as "skipped"

[[noreturn]] __attribute__((format(printf, 2, 3))) inline void Leave(int status, const char* format,
                                                                     ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(line, sizeof(line) - 1, format, args);
  va_end(args);
  if (length < 0) length = 0;
  if (length > static_cast<int>(sizeof(line)) - 2) length = sizeof(line) - 2;
  line[length] = '\n';
  // A program with closed descriptors still fails by its status.
  if (write(STDOUT_FILENO, line, length + 1) < 0) _exit(status);
  _exit(status);
}

#define SKIP(...) ::check::Leave(::check::kSkipped, __VA_ARGS__)
#define FAIL(...) ::check::Leave(1, __VA_ARGS__)
#define CHECK(condition, ...)            \
  do {                                   \
    if (!(condition)) FAIL(__VA_ARGS__); \
  } while (false)

// The same value, about which the compiler knows nothing: keeps a malloc/free or new/delete pair
// from being removed, and an impossible size from being folded.
template <typename T>
inline T Hide(T value) {
  asm volatile("" : "+r"(value) : : "memory");
  return value;
}

inline bool IsAligned(const void* pointer, size_t alignment) {
  return reinterpret_cast<uintptr_t>(pointer) % alignment == 0;
}

inline unsigned char PatternByte(size_t index, uint32_t seed) {
  return static_cast<unsigned char>((index * 131) ^ (index >> 8) ^ seed);
}

inline void Fill(void* block, size_t size, uint32_t seed) {
  unsigned char* bytes = static_cast<unsigned char*>(block);
  for (size_t i = 0; i < size; ++i) bytes[i] = PatternByte(i, seed);
}

inline bool Holds(const void* block, size_t size, uint32_t seed) {
  const unsigned char* bytes = static_cast<const unsigned char*>(block);
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != PatternByte(i, seed)) return false;
  }
  return true;
}

inline bool IsZero(const void* block, size_t size) {
  const unsigned char* bytes = static_cast<const unsigned char*>(block);
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

// A small generator with its state in the caller's hands; good enough to mix sizes and choices.
inline uint32_t Random(uint64_t* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(*state >> 33);
}

inline uint64_t NowMs() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000 + static_cast<uint64_t>(time.tv_nsec) / 1000000;
}

// The field of /proc/self/statm, in bytes: 0 is the address space, 1 is resident memory.
inline size_t StatmBytes(int field) {
  char text[128];
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (length <= 0) return 0;
  text[length] = '\0';
  char* cursor = text;
  size_t value = strtoul(cursor, &cursor, 10);
  for (int i = 0; i < field; ++i) value = strtoul(cursor, &cursor, 10);
  return value * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

inline size_t AddressSpaceBytes() { return StatmBytes(0); }
inline size_t ResidentBytes() { return StatmBytes(1); }

// Runs this program again with NAME=VALUE in its environment (or without NAME if value is null);
// returns only if the mark shows that this is already the second run.
inline void RunAgainWith(char** argv, const char* name, const char* value) {
  if (getenv("CHECK_SECOND_RUN") != nullptr) return;
  setenv("CHECK_SECOND_RUN", "1", 1);
  if (value != nullptr) {
    setenv(name, value, 1);
  } else {
    unsetenv(name);
  }
  execv("/proc/self/exe", argv);
  FAIL("cannot run the program again");
}

}  // namespace check

#endif  // SPANMALLOC_TESTS_OVERRIDE_CHECK_H_
