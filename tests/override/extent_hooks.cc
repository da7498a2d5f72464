// SPDX-License-Identifier: Apache-2.0
//
// Programs that give arenas their memory, in the ways that such programs are known to: chained to
// the default hooks to keep pages out of core dumps; from one reserved range by a bump pointer, and
// from the default hooks behind that; from a pool of the program's own that counts what it gave.
// Extents that are merged and purged in part. And hooks that allocate, lock, call mallctl, ask for
// their own arena's memory; forks while others are in hooks, and of hooks.

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "tests/override/arenas.h"

namespace {

struct Hooks {
  void* (*alloc)(Hooks*, void*, size_t, size_t, bool*, bool*, unsigned);
  bool (*dalloc)(Hooks*, void*, size_t, bool, unsigned);
  void (*destroy)(Hooks*, void*, size_t, bool, unsigned);
  bool (*commit)(Hooks*, void*, size_t, size_t, size_t, unsigned);
  bool (*decommit)(Hooks*, void*, size_t, size_t, size_t, unsigned);
  bool (*purge_lazy)(Hooks*, void*, size_t, size_t, size_t, unsigned);
  bool (*purge_forced)(Hooks*, void*, size_t, size_t, size_t, unsigned);
  bool (*split)(Hooks*, void*, size_t, size_t, size_t, bool, unsigned);
  bool (*merge)(Hooks*, void*, size_t, void*, size_t, bool, unsigned);
};

constexpr size_t kHuge = size_t{2} << 20;
constexpr int kNoCache = 1 << 8;

unsigned CreateWith(Hooks* hooks) {
  unsigned index = 0;
  size_t length = sizeof(index);
  const int error = arenas::Mallctl("arenas.create", &index, &length, &hooks, sizeof(hooks));
  CHECK(error == 0, "arenas.create with hooks: %d", error);
  return index;
}

Hooks* HooksOf(unsigned arena) {
  char name[64];
  snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
  Hooks* hooks = nullptr;
  size_t length = sizeof(hooks);
  CHECK(arenas::Mallctl(name, &hooks, &length, nullptr, 0) == 0, "%s can't be read", name);
  return hooks;
}

int SetHooks(unsigned arena, Hooks* hooks) {
  char name[64];
  snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
  return arenas::Mallctl(name, nullptr, nullptr, &hooks, sizeof(hooks));
}

void* Allocate(unsigned arena, size_t size) {
  void* block = arenas::Mallocx(size, arenas::In(arena) | kNoCache);
  CHECK(block != nullptr, "mallocx of %zu in arena %u failed", size, arena);
  memset(block, 0x41, size);
  return block;
}

void ExpectFilled(const void* block, size_t size) {
  for (size_t i = 0; i < size; i += 512) {
    CHECK(static_cast<const char*>(block)[i] == 0x41, "byte %zu of %p isn't what it was", i, block);
  }
}

// Fills an arena with blocks of all sizes, frees most of them, resizes some; all are whole.
void Use(unsigned arena) {
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t i = 0; i < 600; ++i) {
    const size_t size = i % 50 == 49 ? (i << 13) + 1 : i * 61 % 30000 + 1;
    blocks.emplace_back(Allocate(arena, size), size);
    CHECK(arenas::Of(blocks.back().first) == static_cast<int>(arena), "block of another arena");
    if (i % 3 == 1) {
      auto& [block, old_size] = blocks[i / 2];
      if (block == nullptr) continue;
      ExpectFilled(block, old_size);
      const size_t new_size = old_size * (i % 4 + 1) / 2 + 1;
      block = realloc(block, new_size);
      CHECK(block != nullptr, "realloc to %zu failed", new_size);
      CHECK(arenas::Of(block) == static_cast<int>(arena), "realloc left the arena");
      memset(block, 0x41, new_size);
      old_size = new_size;
    } else if (i % 3 == 2) {
      auto& [block, size_of] = blocks[i / 3];
      if (block == nullptr) continue;
      ExpectFilled(block, size_of);
      free(block);
      block = nullptr;
    }
  }
  for (auto& [block, size] : blocks) {
    if (block == nullptr) continue;
    ExpectFilled(block, size);
    free(block);
  }
}

// ---- chained to the default hooks, as to keep memory out of core dumps ----

void* (*default_alloc)(Hooks*, void*, size_t, size_t, bool*, bool*, unsigned) = nullptr;
size_t not_dumped = 0;

void* AllocNotDumped(Hooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                     bool* commit, unsigned arena) {
  void* memory = default_alloc(hooks, new_addr, size, alignment, zero, commit, arena);
  if (memory != nullptr && madvise(memory, size, MADV_DONTDUMP) == 0) not_dumped += size;
  return memory;
}

void TestChained() {
  const unsigned arena = arenas::Create();
  Hooks* defaults = HooksOf(arena);
  CHECK(defaults->alloc != nullptr && HooksOf(0) == defaults, "no default hooks");
  default_alloc = defaults->alloc;
  static Hooks hooks;
  hooks = *defaults;
  hooks.alloc = &AllocNotDumped;
  CHECK(SetHooks(arena, &hooks) == 0, "hooks can't be set");
  CHECK(HooksOf(arena) == &hooks, "other hooks are read than were written");
  for (int i = 0; i < 3; ++i) Use(arena);
  CHECK(not_dumped >= kHuge, "only %zu bytes of the hook's", not_dumped);
  CHECK(arenas::Do(arena, "purge") == 0, "purge failed");
  Use(arena);
  CHECK(arenas::Do(arena, "reset") == 0, "reset failed");
  Use(arena);
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
}

// The default hooks, called by the program.
void TestDefaultsByHand() {
  Hooks* defaults = HooksOf(0);
  for (const size_t alignment : {size_t{4096}, size_t{1} << 16, kHuge, kHuge * 4}) {
    bool zero = false;
    bool commit = false;
    char* memory = static_cast<char*>(
        defaults->alloc(defaults, nullptr, 3 * kHuge, alignment, &zero, &commit, 0));
    CHECK(memory != nullptr, "the default alloc failed");
    CHECK(reinterpret_cast<uintptr_t>(memory) % alignment == 0, "not aligned");
    CHECK(zero && commit, "neither zero nor committed");
    memset(memory, 1, 3 * kHuge);
    CHECK(!defaults->purge_forced(defaults, memory, 3 * kHuge, kHuge, kHuge, 0), "not purged");
    CHECK(memory[0] == 1 && memory[kHuge] == 0 && memory[2 * kHuge] == 1, "another range purged");
    CHECK(!defaults->split(defaults, memory, 3 * kHuge, kHuge, 2 * kHuge, true, 0), "not split");
    CHECK(!defaults->dalloc(defaults, memory, kHuge, true, 0), "not unmapped");
    defaults->destroy(defaults, memory + kHuge, 2 * kHuge, true, 0);
    CHECK(msync(memory, 4096, MS_ASYNC) != 0 && errno == ENOMEM, "still mapped");
    char* again =
        static_cast<char*>(defaults->alloc(defaults, memory, kHuge, alignment, &zero, &commit, 0));
    CHECK(again == memory, "not where it was asked for");
    CHECK(defaults->alloc(defaults, memory, kHuge, alignment, &zero, &commit, 0) == nullptr,
          "given twice");
    defaults->destroy(defaults, again, kHuge, true, 0);
  }
}

// ---- from one range by a bump pointer, never given back ----

char* range_next = nullptr;
char* range_end = nullptr;
size_t beyond_range = 0;

void* AllocInRange(Hooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                   bool* commit, unsigned arena) {
  const auto start = (reinterpret_cast<uintptr_t>(range_next) + alignment - 1) & ~(alignment - 1);
  if (new_addr != nullptr || start + size > reinterpret_cast<uintptr_t>(range_end)) {
    beyond_range += size;
    return default_alloc(hooks, new_addr, size, alignment, zero, commit, arena);
  }
  range_next = reinterpret_cast<char*>(start + size);
  *zero = true;
  *commit = true;
  return reinterpret_cast<void*>(start);
}
bool Decline(Hooks*, void*, size_t, bool, unsigned) { return true; }
void Forget(Hooks*, void*, size_t, bool, unsigned) {}
bool DeclinePart(Hooks*, void*, size_t, size_t, size_t, unsigned) { return true; }

void TestRange() {
  constexpr size_t kRange = 16 * kHuge;
  range_next = static_cast<char*>(
      mmap(nullptr, kRange, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(range_next != MAP_FAILED, "mmap failed");
  char* begin = range_next;
  range_end = range_next + kRange;
  static Hooks hooks;
  hooks = *HooksOf(0);
  hooks.alloc = &AllocInRange;
  hooks.dalloc = &Decline;
  hooks.destroy = &Forget;
  hooks.purge_lazy = &DeclinePart;
  hooks.purge_forced = &DeclinePart;
  const unsigned arena = CreateWith(&hooks);
  char* block = static_cast<char*>(Allocate(arena, 100));
  CHECK(block >= begin && block < range_end, "%p isn't in the range", block);
  // A thread that is bound to it.
  std::thread([arena, begin] {
    CHECK(arenas::Bind(arena) == 0, "can't be bound");
    void* own = malloc(1000);
    CHECK(own >= begin && own < range_end, "%p isn't in the range", own);
    free(own);
    CHECK(arenas::Bind(0) == 0, "can't be bound to arena 0");
  }).join();
  Use(arena);
  ExpectFilled(block, 100);
  CHECK(arenas::Do(arena, "purge") == 0, "purge failed");
  void* large = Allocate(arena, 64 * kHuge);
  CHECK(beyond_range >= 64 * kHuge, "%zu bytes beyond the range", beyond_range);
  free(large);
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
}

// ---- from a pool of the program's own, which uses malloc, a lock and mallctl ----

pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
std::map<void*, size_t>* pool = nullptr;
size_t purges = 0;

void* AllocFromPool(Hooks*, void* new_addr, size_t size, size_t alignment, bool* zero, bool* commit,
                    unsigned arena) {
  CHECK(new_addr == nullptr && *commit, "unexpected arguments");
  free(malloc(100));
  void* own = malloc(size_t{1} << 20);
  CHECK(own != nullptr && arenas::Of(own) == 0, "a hook's block is in arena %d, not 0",
        arenas::Of(own));
  free(own);
  CHECK(arenas::Stat(arena, "pactive") < size_t{1} << 30, "statistics");
  void* memory =
      mmap(nullptr, size + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const auto start = (begin + alignment - 1) & ~(alignment - 1);
  if (start != begin) munmap(memory, start - begin);
  if (begin + alignment != start) {
    munmap(reinterpret_cast<void*>(start + size), begin + alignment - start);
  }
  memory = reinterpret_cast<void*>(start);
  pthread_mutex_lock(&pool_lock);
  (*pool)[memory] = size;
  pthread_mutex_unlock(&pool_lock);
  *zero = true;
  return memory;
}
bool GiveToPool(Hooks*, void* memory, size_t size, bool, unsigned) {
  pthread_mutex_lock(&pool_lock);
  const auto found = pool->find(memory);
  CHECK(found != pool->end() && found->second == size, "%p of %zu isn't the pool's", memory, size);
  pool->erase(found);
  pthread_mutex_unlock(&pool_lock);
  munmap(memory, size);
  return false;
}
void DestroyInPool(Hooks* hooks, void* memory, size_t size, bool committed, unsigned arena) {
  GiveToPool(hooks, memory, size, committed, arena);
}
bool PurgeInPool(Hooks*, void* memory, size_t size, size_t offset, size_t length, unsigned) {
  CHECK(offset + length <= size, "a purge beyond the extent");
  pthread_mutex_lock(&pool_lock);
  ++purges;
  pthread_mutex_unlock(&pool_lock);
  free(malloc(200));
  return madvise(static_cast<char*>(memory) + offset, length, MADV_DONTNEED) != 0;
}

Hooks pool_hooks = {&AllocFromPool, &GiveToPool,  &DestroyInPool, nullptr, nullptr,
                    nullptr,        &PurgeInPool, nullptr,        nullptr};

void TestPool() {
  std::map<void*, size_t> own_pool;
  pool = &own_pool;
  const unsigned arena = CreateWith(&pool_hooks);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([arena] {
      for (int round = 0; round < 3; ++round) {
        Use(arena);
        // The pool's lock is held where malloc is called, too: no hook runs there.
        pthread_mutex_lock(&pool_lock);
        std::vector<void*> blocks;
        for (int k = 0; k < 300; ++k) blocks.push_back(malloc(static_cast<size_t>(k) * 997));
        for (void* block : blocks) free(block);
        pthread_mutex_unlock(&pool_lock);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  void* kept = Allocate(arena, 5000);
  CHECK(arenas::Do(arena, "purge") == 0, "purge failed");
  // The background thread may hold one that it is about to return.
  const auto extents = [&] {
    pthread_mutex_lock(&pool_lock);
    const size_t count = own_pool.size();
    pthread_mutex_unlock(&pool_lock);
    return count;
  };
  for (int i = 0; i < 500 && extents() != 1; ++i) {
    usleep(10'000);
    arenas::Do(arena, "purge");
  }
  CHECK(extents() == 1, "%zu extents for one block; pages: %llu active, %llu dirty", extents(),
        static_cast<unsigned long long>(arenas::Stat(arena, "pactive")),
        static_cast<unsigned long long>(arenas::Stat(arena, "pdirty")));
  CHECK(purges != 0, "no purge of what lies beside it");
  ExpectFilled(kept, 5000);
  const uint64_t mapped = arenas::Stat(arena, "mapped") + arenas::Stat(arena, "retained");
  CHECK(mapped >= own_pool.begin()->second && mapped < own_pool.begin()->second + kHuge,
        "mapped: %llu", static_cast<unsigned long long>(mapped));

  // A child uses and destroys its copy.
  const pid_t child = fork();
  if (child == 0) {
    Use(arena);
    _exit(arenas::Do(arena, "destroy") == 0 && own_pool.empty() ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "the child's status is %d", status);

  Use(arena);
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
  CHECK(own_pool.empty(), "%zu extents were not returned", own_pool.size());
}

// ---- from one range, which merges what was handed out side by side ----

size_t merges = 0;
size_t purged = 0;

void* AllocOnlyInRange(Hooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                       bool* commit, unsigned arena) {
  const auto start = (reinterpret_cast<uintptr_t>(range_next) + alignment - 1) & ~(alignment - 1);
  if (start + size > reinterpret_cast<uintptr_t>(range_end)) return nullptr;
  return AllocInRange(hooks, new_addr, size, alignment, zero, commit, arena);
}
bool MergeInRange(Hooks*, void* addr_a, size_t size_a, void* addr_b, size_t, bool committed,
                  unsigned) {
  CHECK(committed && static_cast<char*>(addr_a) + size_a == addr_b, "no neighbours");
  ++merges;
  return false;
}
bool PurgeInRange(Hooks*, void* addr, size_t size, size_t offset, size_t length, unsigned) {
  CHECK(offset + length <= size, "a purge beyond the extent");
  purged += length;
  return madvise(static_cast<char*>(addr) + offset, length, MADV_DONTNEED) != 0;
}

// A range of 32 huge pages and an arena that has no other memory.
unsigned CreateInRange(Hooks* hooks) {
  constexpr size_t kRange = 33 * kHuge;
  range_next = static_cast<char*>(
      mmap(nullptr, kRange, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(range_next != MAP_FAILED, "mmap failed");
  range_next += -reinterpret_cast<uintptr_t>(range_next) & (kHuge - 1);
  range_end = range_next + kRange - kHuge;
  *hooks = {&AllocOnlyInRange, &Decline,      &Forget, nullptr,      nullptr,
            nullptr,           &PurgeInRange, nullptr, &MergeInRange};
  return CreateWith(hooks);
}

// Whatever size a block was resized to, it may be freed by that.
void TestSizedFrees() {
  static Hooks hooks;
  const unsigned arena = CreateInRange(&hooks);
  static const auto sdallocx = statistics::Find<void (*)(void*, size_t, int)>("sdallocx");
  for (size_t size = 300'000; size < 9'000'000; size += 823'457) {
    for (size_t smaller = size / 8; smaller < size; smaller += size / 7) {
      void* block = realloc(Allocate(arena, size), smaller);
      ExpectFilled(block, smaller);
      sdallocx(block, smaller, 0);
    }
  }
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
}

void TestMerged() {
  static Hooks hooks;
  const unsigned arena = CreateInRange(&hooks);
  std::vector<void*> blocks;
  while (void* block = arenas::Mallocx(kHuge, arenas::In(arena) | kNoCache)) {
    memset(block, 0x41, kHuge);
    blocks.push_back(block);
  }
  merges = 0;
  CHECK(blocks.size() == 32, "%zu blocks in the range", blocks.size());
  // One that grows where it is, over what is free behind it.
  for (size_t i = 1; i < 16; ++i) free(blocks[i]);
  for (size_t size = kHuge; size <= 16 * kHuge; size += kHuge / 2) {
    void* grown = realloc(blocks[0], size);
    CHECK(grown == blocks[0], "moved at %zu", size);
    ExpectFilled(grown, size - (size == kHuge ? 0 : kHuge / 2));
    memset(grown, 0x41, size);
  }
  CHECK(merges == 15, "%zu merges", merges);
  CHECK(realloc(blocks[0], 17 * kHuge) == nullptr, "room for a copy, and none behind it");
  for (size_t i = 16; i < 32; ++i) ExpectFilled(blocks[i], kHuge);
  ExpectFilled(blocks[0], 16 * kHuge);
  free(blocks[0]);
  for (size_t i = 16; i < 32; ++i) free(blocks[i]);
  free(Allocate(arena, 32 * kHuge));
  CHECK(merges == 31, "%zu merges", merges);
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
}

void TestPurgedInSpans() {
  static Hooks hooks;
  const unsigned arena = CreateInRange(&hooks);
  std::vector<void*> blocks(200'000);
  for (void*& block : blocks) block = Allocate(arena, 100);
  purged = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 500 != 0) free(blocks[i]);
  }
  CHECK(arenas::Do(arena, "purge") == 0, "purge failed");
  CHECK(purged > blocks.size() * 100 / 2, "%zu bytes purged", purged);
  for (size_t i = 0; i < blocks.size(); i += 500) ExpectFilled(blocks[i], 100);
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 500 != 0) blocks[i] = Allocate(arena, 100);
  }
  for (void* block : blocks) {
    ExpectFilled(block, 100);
    free(block);
  }
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
}

// ---- forks while other threads are in hooks, and forks of hooks ----

void WaitFor(pid_t child) {
  int status = -1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0, "the child's status is %d",
        status);
}

// The pool's hooks, which do something else while an extent is the pool's and not the arena's.
template <void (*kMeanwhile)()>
Hooks PoolHooksWith() {
  Hooks hooks = pool_hooks;
  hooks.alloc = [](Hooks* own, void* new_addr, size_t size, size_t alignment, bool* zero,
                   bool* commit, unsigned arena) {
    void* memory = AllocFromPool(own, new_addr, size, alignment, zero, commit, arena);
    kMeanwhile();
    return memory;
  };
  hooks.dalloc = [](Hooks* own, void* memory, size_t size, bool committed, unsigned arena) {
    kMeanwhile();
    return GiveToPool(own, memory, size, committed, arena);
  };
  return hooks;
}

std::atomic<bool> stop{false};

void Pause() { usleep(1000); }

// A fork waits no longer than that for hooks.
constexpr uint64_t kForkPatienceMs = 100;

// No extent is between the pool and the arena in a child.
void TestForks() {
  std::map<void*, size_t> own_pool;
  pool = &own_pool;
  static Hooks hooks = PoolHooksWith<&Pause>();
  const unsigned arena = CreateWith(&hooks);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([arena] {
      while (!stop) {
        free(Allocate(arena, 3 * kHuge));
        arenas::Do(arena, "purge");
      }
    });
  }
  for (int i = 0; i < 30; ++i) {
    const uint64_t begin = check::NowMs();
    const pid_t child = fork();
    if (child == 0) {
      // On a busy machine a thread may be in a hook for longer.
      if (check::NowMs() - begin >= kForkPatienceMs) _exit(0);
      free(Allocate(arena, 3 * kHuge));
      _exit(arenas::Do(arena, "destroy") == 0 && own_pool.empty() ? 0 : 1);
    }
    WaitFor(child);
    usleep(500);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(arenas::Do(arena, "destroy") == 0 && own_pool.empty(), "%zu extents left", own_pool.size());
}

bool forks = false;
bool is_child = false;

void ForkHere() {
  if (!forks) return;
  forks = false;
  const pid_t child = fork();
  if (child == 0) {
    is_child = true;
  } else {
    WaitFor(child);
  }
}

// The child returns from the hook and goes on.
void TestForksOfHooks() {
  std::map<void*, size_t> own_pool;
  pool = &own_pool;
  static Hooks hooks = PoolHooksWith<&ForkHere>();
  const unsigned arena = CreateWith(&hooks);
  for (const char* where : {"alloc", "purge", "destroy"}) {
    void* block = Allocate(arena, kHuge);
    forks = true;
    void* other = Allocate(arena, 3 * kHuge);
    if (strcmp(where, "alloc") != 0) {
      forks = true;
      free(other);
      other = nullptr;
      if (strcmp(where, "purge") == 0) CHECK(arenas::Do(arena, "purge") == 0, "purge failed");
    }
    free(other);
    ExpectFilled(block, kHuge);
    free(block);
    if (is_child) _exit(arenas::Do(arena, "destroy") == 0 && own_pool.empty() ? 0 : 1);
  }
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
  if (is_child) {
    const unsigned another = arenas::Create();
    free(Allocate(another, kHuge));
    _exit(own_pool.empty() ? 0 : 1);
  }
  CHECK(own_pool.empty(), "%zu extents left", own_pool.size());
}

// ---- a hook that wants memory of its own arena ----

bool asked_itself = false;
bool in_itself = false;

void* AllocFromItself(Hooks* hooks, void* new_addr, size_t size, size_t alignment, bool* zero,
                      bool* commit, unsigned arena) {
  CHECK(!in_itself, "a hook in itself");
  in_itself = true;
  asked_itself = arenas::Mallocx(size_t{8} << 20, arenas::In(arena) | kNoCache) == nullptr &&
                 arenas::Do(arena, "reset") != 0 && arenas::Do(arena, "destroy") != 0;
  in_itself = false;
  return default_alloc(hooks, new_addr, size, alignment, zero, commit, arena);
}

void TestItself() {
  static Hooks hooks;
  hooks = *HooksOf(0);
  hooks.alloc = &AllocFromItself;
  const unsigned arena = CreateWith(&hooks);
  Allocate(arena, 100);
  CHECK(asked_itself, "an arena served its own hook");
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
}

void TestBadTables() {
  static Hooks hooks;  // without alloc
  Hooks* none = nullptr;
  Hooks* empty = &hooks;
  unsigned index = 0;
  size_t length = sizeof(index);
  CHECK(arenas::Mallctl("arenas.create", &index, &length, &none, sizeof(none)) == EINVAL, "NULL");
  CHECK(arenas::Mallctl("arenas.create", &index, &length, &empty, sizeof(empty)) == EINVAL,
        "a table without alloc");
  CHECK(arenas::Mallctl("arenas.create", &index, &length, &empty, 4) == EINVAL, "half a pointer");
  const unsigned arena = arenas::Create();
  CHECK(SetHooks(arena, nullptr) == EINVAL && SetHooks(arena, &hooks) == EINVAL, "bad hooks");
  CHECK(SetHooks(4096, HooksOf(0)) == EFAULT, "all arenas have hooks");
  CHECK(arenas::Do(arena, "destroy") == 0, "destroy failed");
}

}  // namespace

int main() {
  if (arenas::Mallctl("arena.0.extent_hooks", nullptr, nullptr, nullptr, 0) != 0) {
    SKIP("the library has no extent hooks");
  }
  TestChained();
  TestDefaultsByHand();
  TestRange();
  TestPool();
  TestSizedFrees();
  TestMerged();
  TestPurgedInSpans();
  TestForks();
  TestForksOfHooks();
  TestItself();
  TestBadTables();
  return 0;
}
