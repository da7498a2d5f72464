// SPDX-License-Identifier: Apache-2.0
//
// A library to preload: the program runs on glibc's malloc, and each of its calls becomes an event
// of a raw trace in the file RECORD_TO.<process id>. RECORD_PROGRAM, if set, is the one program
// that is recorded. A child of fork goes on in a file of its own, which begins as a copy, if
// RECORD_CHILDREN is set; else it isn't recorded.
//
// The file is mapped, and an event is one atomic addition and a store into it: no lock, no system
// call, nothing allocated. An allocation is noted after it was made and a free before, so that a
// block's events follow each other whichever threads made them. Calls before this library's
// constructor aren't seen; nobody knows the blocks that they made.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

#include "benchmarks/traces/trace_format.h"

// glibc's malloc by the names that nobody replaces.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace spanmalloc::traces {
namespace {

constexpr size_t kFileBytes = size_t{16} << 30;  // sparse
constexpr size_t kMaxEvents = (kFileBytes - sizeof(RawHeader)) / sizeof(RawEvent);
constexpr uint64_t kTimeStepMs = 8;

constinit std::atomic<RawHeader*> header = nullptr;  // nullptr: not recording
constinit std::atomic<uint64_t> threads = 0;
constinit std::atomic<uint64_t> noted_ms = 0;
constinit uint64_t start_ms = 0;
constinit thread_local uint64_t thread_number = 0;  // from 1
size_t (*usable_size)(void*) = nullptr;

uint64_t NowMs() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1000 + static_cast<uint64_t>(time.tv_nsec) / 1000000;
}

void Append(RawHeader* to, const RawEvent& event) {
  const uint64_t index = to->events.fetch_add(1, std::memory_order_relaxed);
  if (index < kMaxEvents) reinterpret_cast<RawEvent*>(to + 1)[index] = event;
}

void Note(Operation operation, const void* block, size_t size, size_t alignment = 1) {
  RawHeader* to = header.load(std::memory_order_relaxed);
  if (to == nullptr) return;
  if (thread_number == 0) thread_number = 1 + threads.fetch_add(1) % (kMaxThreads - 1);
  const uint64_t now = NowMs() - start_ms;
  uint64_t noted = noted_ms.load(std::memory_order_relaxed);
  if (now >= noted + kTimeStepMs && noted_ms.compare_exchange_strong(noted, now)) {
    Append(to, {.size = now,
                .thread = thread_number,
                .address = 0,
                .alignment_log2 = 0,
                .operation = static_cast<uint64_t>(Operation::kTime)});
  }
  Append(to, {.size = size,
              .thread = thread_number,
              .address = reinterpret_cast<uintptr_t>(block),
              .alignment_log2 = static_cast<uint64_t>(__builtin_ctzll(alignment)),
              .operation = static_cast<uint64_t>(operation)});
}

RawHeader* OpenFile() {
  char path[4096];
  snprintf(path, sizeof(path), "%s.%d", getenv("RECORD_TO"), getpid());
  const int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0 || ftruncate(file, kFileBytes) != 0) return nullptr;
  void* mapped = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return nullptr;
  auto* opened = static_cast<RawHeader*>(mapped);
  opened->magic = kRawMagic;
  return opened;
}

void GoOnInChild() {
  RawHeader* parents = header.exchange(nullptr);
  if (parents == nullptr || getenv("RECORD_CHILDREN") == nullptr) return;
  RawHeader* own = OpenFile();
  if (own == nullptr) return;
  const uint64_t events = parents->events.load();
  memcpy(static_cast<void*>(own + 1), parents + 1, events * sizeof(RawEvent));
  own->events.store(events);
  header.store(own);
}

__attribute__((constructor)) void StartRecording() {
  void* libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  usable_size = reinterpret_cast<size_t (*)(void*)>(dlsym(libc, "malloc_usable_size"));
  const char* program = getenv("RECORD_PROGRAM");
  if (getenv("RECORD_TO") == nullptr ||
      (program != nullptr && strcmp(program, program_invocation_short_name) != 0)) {
    return;
  }
  start_ms = NowMs();
  pthread_atfork(nullptr, nullptr, &GoOnInChild);
  header.store(OpenFile());
}

void* NoteAllocation(void* block, size_t size, size_t alignment = 1) {
  if (block != nullptr) Note(Operation::kAllocate, block, size, alignment);
  return block;
}

void* AllocateAligned(size_t alignment, size_t size) {
  return NoteAllocation(__libc_memalign(alignment, size), size, alignment);
}

}  // namespace
}  // namespace spanmalloc::traces

using spanmalloc::traces::AllocateAligned;
using spanmalloc::traces::Note;
using spanmalloc::traces::NoteAllocation;
using spanmalloc::traces::Operation;

extern "C" {

void* malloc(size_t size) { return NoteAllocation(__libc_malloc(size), size); }

void* calloc(size_t count, size_t size) {
  return NoteAllocation(__libc_calloc(count, size), count * size);
}

void free(void* block) {
  if (block == nullptr) return;
  Note(Operation::kFree, block, 0);
  __libc_free(block);
}

void* realloc(void* block, size_t size) {
  if (block == nullptr) return malloc(size);
  Note(Operation::kReallocBegin, block, size);
  void* moved = __libc_realloc(block, size);
  // A failure leaves the block where it was.
  Note(Operation::kReallocate, moved == nullptr && size != 0 ? block : moved, size);
  return moved;
}

void* reallocarray(void* block, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  return realloc(block, bytes);
}

void* memalign(size_t alignment, size_t size) { return AllocateAligned(alignment, size); }
void* aligned_alloc(size_t alignment, size_t size) { return AllocateAligned(alignment, size); }
void* valloc(size_t size) { return AllocateAligned(4096, size); }
void* pvalloc(size_t size) { return AllocateAligned(4096, (size + 4095) & ~size_t{4095}); }

int posix_memalign(void** block, size_t alignment, size_t size) {
  if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
  void* made = AllocateAligned(alignment, size);
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

size_t malloc_usable_size(void* block) {
  return spanmalloc::traces::usable_size == nullptr ? 0 : spanmalloc::traces::usable_size(block);
}

}  // extern "C"
