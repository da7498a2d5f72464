// SPDX-License-Identifier: Apache-2.0
#include "allocator/telemetry/corruption_report.h"

#include <atomic>

#include "allocator/os/raw_output.h"

namespace spanmalloc {
namespace {

std::atomic<bool> abort_on_error_option{true};
std::atomic<void (*)(const char*)> abort_hook{nullptr};

}  // namespace

void DescribeBadPointer(const BadPointer& bad, TextBuffer* line) {
  const uint64_t size = bad.block_size;
  switch (bad.fault) {
    case Fault::kNotABlock:
      *line << "spanmalloc: invalid free: pointer " << bad.pointer
            << ", expected a block of this heap, found an address that was never one";
      break;
    case Fault::kDoubleFree:
      *line << "spanmalloc: double free: pointer " << bad.pointer;
      if (size != 0) {
        *line << ", expected a live block of " << size << " bytes, found it free already";
      } else {
        *line << ", expected a live block, found pages that are free already";
      }
      break;
    case Fault::kInterior:
    case Fault::kMisaligned:
      *line << (bad.fault == Fault::kInterior ? "spanmalloc: interior pointer: pointer "
                                              : "spanmalloc: misaligned pointer: pointer ")
            << bad.pointer << ", expected the start of a block, found the inside of the block of "
            << size << " bytes at " << bad.block_start;
      break;
    case Fault::kSizeMismatch:
      *line << "spanmalloc: size mismatch: pointer " << bad.pointer
            << ", expected a block made for " << uint64_t{bad.claimed_size}
            << " bytes, found one of " << size;
      break;
  }
  *line << "\n";
}

void SetAbortOnError(bool abort_on_error) {
  abort_on_error_option.store(abort_on_error, std::memory_order_relaxed);
}

void SetAbortHook(void (*hook)(const char* line)) {
  abort_hook.store(hook, std::memory_order_relaxed);
}

void ReportBadPointer(const BadPointer& bad) {
  char storage[257] = {};
  TextBuffer line(storage, sizeof(storage) - 1);
  DescribeBadPointer(bad, &line);
  ReportFault(storage);
}

bool CallAbortHook(const char* line) {
  const auto hook = abort_hook.load(std::memory_order_relaxed);
  if (hook != nullptr) hook(line);
  return hook != nullptr;
}

void ReportFault(const char* line) {
  if (CallAbortHook(line)) return;
  if (abort_on_error_option.load(std::memory_order_relaxed)) os::DieWith(line);
  os::WriteToStderr(line);
}

}  // namespace spanmalloc
