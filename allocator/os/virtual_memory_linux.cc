// SPDX-License-Identifier: Apache-2.0
//
// The kernel's side of virtual_memory.h.
#include <errno.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>

#include "allocator/os/clock.h"
#include "allocator/os/process.h"
#include "allocator/os/raw_output.h"
#include "allocator/os/system_call.h"
#include "allocator/os/text_files.h"
#include "allocator/os/virtual_memory.h"
#include "allocator/util/text_buffer.h"

namespace spanmalloc::os {
namespace {

constexpr long kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

// MAP_FIXED_NOREPLACE, absent from older headers.
constexpr long kFixedNoReplace = 0x100000;

long MapCall(const void* address, size_t size, long protection, long flags) {
  return SystemCall(SYS_mmap, AsArgument(address), static_cast<long>(size), protection, flags, -1,
                    0);
}

void* PointerOrNull(long result) {
  return IsError(result) ? nullptr : reinterpret_cast<void*>(result);
}

// Reads the file `name` of the folder `folder`, whose path ends in a slash, into `text`, with a NUL
// behind it.
template <size_t kSize>
bool ReadSetting(const char* folder, const char* name, char (&text)[kSize]) {
  char storage[256];
  TextBuffer path(storage, sizeof(storage));
  path << folder << name;
  const size_t length = KernelFiles().Read(path.c_str(), text, kSize - 1);
  text[length] = '\0';
  return length != 0;
}

// Where the kernel doesn't tell, a page counts as mapped.
bool IsUnmapped(const void* page) {
  unsigned char resident;
  return SystemCall(SYS_mincore, AsArgument(page), 1, AsArgument(&resident)) == -ENOMEM;
}

}  // namespace

void* KernelMemory::Map(size_t size) {
  return PointerOrNull(MapCall(nullptr, size, PROT_READ | PROT_WRITE, kAnonymous));
}

bool KernelMemory::MapAt(void* address, size_t size) {
  const long result = MapCall(address, size, PROT_READ | PROT_WRITE, kAnonymous | kFixedNoReplace);
  if (IsError(result)) return false;
  if (reinterpret_cast<void*>(result) == address) {
    DeclineHugePages(address, size);
    return true;
  }
  // A kernel older than 4.17 takes the address as a hint only.
  SystemCall(SYS_munmap, result, static_cast<long>(size));
  return false;
}

void* KernelMemory::Reserve(size_t size) {
  void* address = PointerOrNull(MapCall(nullptr, size, PROT_READ, kAnonymous | MAP_NORESERVE));
  if (address != nullptr) {
    SystemCall(SYS_madvise, AsArgument(address), static_cast<long>(size), MADV_DONTDUMP);
  }
  return address;
}

bool KernelMemory::Commit(void* address, size_t size) {
  if (IsError(SystemCall(SYS_mprotect, AsArgument(address), static_cast<long>(size),
                         PROT_READ | PROT_WRITE))) {
    return false;
  }
  SystemCall(SYS_madvise, AsArgument(address), static_cast<long>(size), MADV_DODUMP);
  return true;
}

bool KernelMemory::Unmap(void* address, size_t size) {
  return !IsError(SystemCall(SYS_munmap, AsArgument(address), static_cast<long>(size)));
}

bool KernelMemory::Release(void* address, size_t size) {
  return !IsError(
      SystemCall(SYS_madvise, AsArgument(address), static_cast<long>(size), MADV_DONTNEED));
}

bool KernelMemory::MapOver(void* address, size_t size) {
  if (IsError(MapCall(address, size, PROT_READ | PROT_WRITE, kAnonymous | MAP_FIXED))) return false;
  DeclineHugePages(address, size);
  return true;
}

bool KernelMemory::AdviseHugePages(void* address, size_t size, bool wanted) {
  return !IsError(SystemCall(SYS_madvise, AsArgument(address), static_cast<long>(size),
                             wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
}

size_t KernelMemory::Resident(const void* address, size_t size) {
  constexpr size_t kBatch = 512;
  unsigned char resident[kBatch];
  const size_t page = SystemPageSize();
  size_t pages = 0;
  for (size_t done = 0; done < size; done += kBatch * page) {
    const size_t batch = size - done < kBatch * page ? size - done : kBatch * page;
    if (IsError(SystemCall(SYS_mincore, AsArgument(address) + static_cast<long>(done),
                           static_cast<long>(batch), AsArgument(resident)))) {
      return 0;
    }
    for (size_t i = 0; i < batch / page; ++i) pages += resident[i] & 1;
  }
  return pages * page;
}

uint64_t KernelMemory::TouchNs(void* address) {
  const uint64_t start = ThreadCpuNs();
  *static_cast<volatile char*>(address) = 0;
  return ThreadCpuNs() - start;
}

KernelMemory::Gives KernelMemory::HugePageSetting() {
  Gives gives = gives_.load(std::memory_order_relaxed);
  if (gives != Gives::kUnknown) return gives;
  char text[64];
  gives = Gives::kNowhere;
  if (ReadSetting(settings_, "hpage_pmd_size", text) && strcmp(text, "2097152\n") == 0 &&
      ReadSetting(settings_, "enabled", text)) {
    if (strstr(text, "[madvise]") != nullptr) gives = Gives::kWhereAsked;
    if (strstr(text, "[always]") != nullptr) gives = Gives::kEverywhere;
  }
  gives_.store(gives, std::memory_order_relaxed);
  return gives;
}

bool KernelMemory::GivesHugePages() {
  const Gives gives = HugePageSetting();
  return gives == Gives::kWhereAsked || gives == Gives::kEverywhere;
}

// Has the kernel give no huge pages under fresh memory until they are asked for. The first time,
// and most programs have no second, that costs less than to find out whether it would.
void KernelMemory::DeclineHugePages(void* address, size_t size) {
  const bool first = !mapped_before_.exchange(true, std::memory_order_relaxed);
  if (first || HugePageSetting() == Gives::kEverywhere) {
    AdviseHugePages(address, size, /*wanted=*/false);
  }
}

size_t KernelMemory::PageSize() { return SystemPageSize(); }

// A move that fails may have unmapped the target already, and since Linux 6.17, where the source
// lies in several mappings, may have moved the first of them. What moved stays moved, the rest is
// copied after it; if nothing moved, the target is mapped afresh. A sandbox may refuse any of this;
// it has unmapped nothing then.
bool KernelMemory::Move(void* from, void* to, size_t size) {
  const long result =
      SystemCall(SYS_mremap, AsArgument(from), static_cast<long>(size), static_cast<long>(size),
                 MREMAP_MAYMOVE | MREMAP_FIXED, AsArgument(to));
  if (!IsError(result)) return true;
  const size_t page = SystemPageSize();
  size_t moved = 0;
  while (moved < size && IsUnmapped(static_cast<char*>(from) + moved)) moved += page;
  char* const source = static_cast<char*>(from) + moved;
  char* const rest = static_cast<char*>(to) + moved;
  if (!MapOver(rest, size - moved)) {
    if (moved == 0 && !IsUnmapped(to)) return false;
    DieWith("spanmalloc: the kernel moved part of a block and refuses to map the rest\n");
  }
  if (moved == 0) return false;
  memcpy(rest, source, size - moved);
  if (!Unmap(source, size - moved)) Release(source, size - moved);
  return true;
}

}  // namespace spanmalloc::os
