// SPDX-License-Identifier: Apache-2.0
//
// The contract between the heap and the kernel's memory calls. The page heap, the page map and
// the metadata allocator call it; KernelMemory implements it, and tests put a fake in its place.
//
// A range is unmapped, reserved (address space without access or commit charge, readable as
// zeros), or mapped (readable and writable, zero until first written). Ranges are multiples of the
// system's page size. Under what MapAt and MapOver map there are transparent huge pages where they
// are asked for, and nowhere else, whether the kernel gives them unasked or not. Every call reports
// failure by its result; none sets errno, allocates or aborts. Thread-safe.
#ifndef SPANMALLOC_ALLOCATOR_OS_VIRTUAL_MEMORY_H_
#define SPANMALLOC_ALLOCATOR_OS_VIRTUAL_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace spanmalloc::os {

class VirtualMemory {
 public:
  // Unmapped -> mapped, at an address the kernel chooses. nullptr if refused.
  virtual void* Map(size_t size) = 0;

  // Unmapped -> mapped, at exactly `address`. False, and nothing changed, if any of it is in use
  // or the kernel refuses.
  virtual bool MapAt(void* address, size_t size) = 0;

  // Unmapped -> reserved, at an address the kernel chooses; no part of core dumps. nullptr if
  // refused.
  virtual void* Reserve(size_t size) = 0;

  // Reserved -> mapped. False, and nothing changed, if refused.
  virtual bool Commit(void* address, size_t size) = 0;

  // Mapped or reserved -> unmapped. False, and nothing changed, if refused.
  virtual bool Unmap(void* address, size_t size) = 0;

  // Mapped -> mapped, giving its memory back: it reads as zeros again. False, and the contents
  // unchanged, if refused (locked memory, a sandbox).
  virtual bool Release(void* address, size_t size) = 0;

  // Mapped -> mapped afresh: as Release, and mappings that had become several merge. False, and
  // nothing changed, if refused.
  virtual bool MapOver(void* address, size_t size) = 0;

  // Asks for huge pages under what is mapped of a range, or takes that back. A hint: false if
  // refused, or if not all of it is mapped.
  virtual bool AdviseHugePages(void* address, size_t size, bool wanted) = 0;

  // How many bytes of a mapped range are resident; 0 if the kernel doesn't tell.
  virtual size_t Resident(const void* address, size_t size) = 0;

  // Writes a zero to a mapped range that reads as zeros. How many nanoseconds that took the kernel,
  // of the calling thread's CPU time: while others have the CPU the kernel isn't slow.
  virtual uint64_t TouchNs(void* address) = 0;

  // Whether the kernel gives huge pages of the heap's size where they are asked for. Reads a file,
  // at the first call.
  virtual bool GivesHugePages() = 0;

  // Moves the pages of the mapped `from` onto the mapped `to` of the same size, replacing what was
  // there; `from` becomes unmapped, or what the kernel refuses to unmap of it is nobody's. False,
  // and `from` unchanged and what was in `to` lost, if refused.
  virtual bool Move(void* from, void* to, size_t size) = 0;

  // The system's page size in bytes, a power of two.
  virtual size_t PageSize() = 0;

  // How often its users, who note that, have split mappings so that the kernel can't merge them. A
  // process may have 65530 mappings, so all its heaps together make kMaxSplits at most.
  // Thread-safe.
  static constexpr size_t kMaxSplits = 12288;
  virtual size_t splits() const { return splits_.load(std::memory_order_relaxed); }
  virtual void NoteSplits(ptrdiff_t change) {
    splits_.fetch_add(static_cast<size_t>(change), std::memory_order_relaxed);
  }

 protected:
  constexpr VirtualMemory() = default;
  ~VirtualMemory() = default;

 private:
  std::atomic<size_t> splits_{0};
};

// The kernel's mmap, mprotect, madvise, mincore, mremap and munmap.
class KernelMemory : public VirtualMemory {
 public:
  constexpr KernelMemory() = default;
  // Reads the settings of transparent huge pages in another folder, whose path ends in a slash.
  explicit constexpr KernelMemory(const char* settings) : settings_(settings) {}

  void* Map(size_t size) override;
  bool MapAt(void* address, size_t size) override;
  void* Reserve(size_t size) override;
  bool Commit(void* address, size_t size) override;
  bool Unmap(void* address, size_t size) override;
  bool Release(void* address, size_t size) override;
  bool MapOver(void* address, size_t size) override;
  bool AdviseHugePages(void* address, size_t size, bool wanted) override;
  size_t Resident(const void* address, size_t size) override;
  uint64_t TouchNs(void* address) override;
  bool GivesHugePages() override;
  bool Move(void* from, void* to, size_t size) override;
  size_t PageSize() override;

 private:
  // Where the kernel gives huge pages.
  enum class Gives : uint8_t { kUnknown, kNowhere, kWhereAsked, kEverywhere };

  Gives HugePageSetting();
  void DeclineHugePages(void* address, size_t size);

  const char* settings_ = "/sys/kernel/mm/transparent_hugepage/";
  std::atomic<Gives> gives_{Gives::kUnknown};
  std::atomic<bool> mapped_before_{false};
};

}  // namespace spanmalloc::os

#endif  // SPANMALLOC_ALLOCATOR_OS_VIRTUAL_MEMORY_H_
