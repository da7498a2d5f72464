// SPDX-License-Identifier: Apache-2.0
//
// The steps by which a cache is taken back (allocator/cache/idle_caches.h), as a model: an owner
// that pops, pushes and runs slow paths, and a taker, on a machine that shows stores late and in
// any order. Every interleaving of their loads and stores is tried. No object may be given out
// twice or lost, whatever happens; and with any one of the precautions left out some order must go
// wrong, which shows that the model would notice.
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "gtest/gtest.h"

namespace spanmalloc {
namespace {

constexpr int kSlots = 5;
constexpr int kObjects = 5;
constexpr int kMaxStores = 6;

// The precautions, any of which a test may leave out.
struct Rules {
  bool barrier_after_asking = true;
  bool barrier_after_hiding = true;
  bool depth_is_looked_at = true;
  bool depth_is_released = true;
  bool end_stores_what_is_visible = true;
  bool slow_paths_ask = true;  // UseCache
  bool top_object_stays = true;
  bool asks_before_hiding = true;  // else all in one step
};

// Shared variables.
enum Variable : uint8_t { kCache, kDepth, kVisible, kTop, kSlot0, kVariables = kSlot0 + kSlots };
enum : int8_t { kEmptyCache = 0, kRealCache = 1 };

// A store that others don't see yet. A release waits for all before it.
struct Store {
  uint8_t variable;
  int8_t value;
  bool release;
};

// One thread's place in its program, its registers, and its stores that aren't visible yet.
struct Thread {
  uint8_t step;
  int8_t a, b;
  uint8_t operations;  // left to do
  uint8_t stores;
  Store buffer[kMaxStores];
};

enum Revocation : uint8_t { kNone, kAsked, kHidden, kTaken };

// Plain bytes, compared and hashed as such.
struct State {
  int8_t memory[kVariables];
  uint8_t lock;  // 0: free; 1: the owner's; 2: the taker's
  Revocation revocation;
  int8_t held_at_look;
  uint8_t taken;    // bit of each object that went to the central list
  uint8_t in_hand;  // bit of each object that the owner's program holds
  Thread owner;
  Thread taker;
};

enum OwnerStep : uint8_t {
  kIdle,
  kPopLoadTop,
  kPopLoadSlot,
  kPopStoreTop,
  kPushLoadTop,
  kPushStoreSlot,
  kPushStoreTop,
  kBeginCache,
  kSlow,       // in a slow path: is the cache ours?
  kReclaim,    // waits for the lock
  kReclaimed,  // lets go of it
  kSlowPop,
  kSlowPush,
  kEndLoad,
  kEndStore,
  kEndDepth,
};

enum TakerStep : uint8_t {
  kAsk,
  kAskUnlock,
  kFirstBarrier,
  kHide,
  kHideStore,
  kHideUnlock,
  kSecondBarrier,
  kTakeLock,
  kTakeTop,
  kTakeSlots,
  kTakeUnlock,
  kDone,
};

class Model {
 public:
  Model(const Rules& rules, int objects, int operations) : rules_(rules) {
    memset(&first_, 0, sizeof(first_));
    first_.memory[kCache] = kRealCache;
    first_.memory[kVisible] = kRealCache;
    first_.memory[kTop] = static_cast<int8_t>(objects);
    for (int i = 0; i < objects; ++i) first_.memory[kSlot0 + i] = static_cast<int8_t>(i + 1);
    for (int i = objects; i < kObjects; ++i) first_.in_hand |= Bit(i + 1);
    first_.owner.operations = static_cast<uint8_t>(operations);
  }

  // Tries all orders. Returns what went wrong first, or nothing.
  std::string Run() {
    Visit(first_);
    while (!left_.empty() && fault_.empty()) {
      const State state = left_.back();
      left_.pop_back();
      ++states_;
      Advance(state);
    }
    return fault_;
  }

  size_t states() const { return states_; }
  size_t ends_taken() const { return ends_taken_; }

 private:
  static uint8_t Bit(int object) { return static_cast<uint8_t>(1 << (object - 1)); }

  static int8_t Load(const State& s, const Thread& thread, int variable) {
    for (int i = thread.stores; i-- > 0;) {
      if (thread.buffer[i].variable == variable) return thread.buffer[i].value;
    }
    return s.memory[variable];
  }

  void Put(Thread* thread, int variable, int value, bool release = false) {
    if (thread->stores == kMaxStores) {
      full_ = true;
      return;
    }
    thread->buffer[thread->stores++] = {static_cast<uint8_t>(variable), static_cast<int8_t>(value),
                                        release};
  }

  static void Show(State* s, Thread* thread, int i) {
    s->memory[thread->buffer[i].variable] = thread->buffer[i].value;
    for (int j = i; j + 1 < thread->stores; ++j) thread->buffer[j] = thread->buffer[j + 1];
    thread->buffer[--thread->stores] = {};
  }
  static void ShowAll(State* s, Thread* thread) {
    while (thread->stores != 0) Show(s, thread, 0);
  }

  void Visit(const State& state) {
    if (seen_.insert(std::string(reinterpret_cast<const char*>(&state), sizeof(state))).second) {
      left_.push_back(state);
    }
  }

  void Fail(const std::string& what) {
    if (fault_.empty()) fault_ = what;
  }

  void Advance(const State& state) {
    ShowStores(state, &State::owner);
    ShowStores(state, &State::taker);
    StepOwner(state);
    StepTaker(state);
    if (state.owner.step == kIdle && state.owner.operations == 0 && state.owner.stores == 0 &&
        state.taker.step == kDone && state.taker.stores == 0) {
      CheckEnd(state);
    }
  }

  // Stores become visible in any order, but those to one variable in theirs.
  void ShowStores(const State& state, Thread State::* who) {
    const Thread& thread = state.*who;
    for (int i = 0; i < thread.stores; ++i) {
      bool may = !thread.buffer[i].release || i == 0;
      for (int j = 0; j < i; ++j)
        may = may && thread.buffer[j].variable != thread.buffer[i].variable;
      if (!may) continue;
      State next = state;
      Show(&next, &(next.*who), i);
      Visit(next);
    }
  }

  void Receive(State* s, int object) {
    if (object == 0) return;
    if ((s->in_hand & Bit(object)) != 0 || (s->taken & Bit(object)) != 0) {
      Fail("an object was given out twice");
    }
    s->in_hand |= Bit(object);
  }

  // Operations begin: a pop, or a push, that finds its cache or goes to a slow path; or a slow path
  // that doesn't need the cache.
  void BeginOperation(const State& state) {
    if (state.owner.operations == 0) return;
    for (int kind = 0; kind < 3; ++kind) {
      State next = state;
      Thread& own = next.owner;
      --own.operations;
      own.a = static_cast<int8_t>(kind);
      const bool hit = kind != 2 && Load(state, state.owner, kCache) == kRealCache;
      if (kind == 1 && !PickForPush(&next)) continue;
      if (hit) {
        own.step = kind == 0 ? kPopLoadTop : kPushLoadTop;
      } else {
        Put(&own, kDepth, 1);
        own.step = kBeginCache;
      }
      Visit(next);
    }
  }

  // The object to push is in register b.
  static bool PickForPush(State* s) {
    for (int object = 1; object <= kObjects; ++object) {
      if ((s->in_hand & Bit(object)) == 0) continue;
      s->in_hand = static_cast<uint8_t>(s->in_hand & ~Bit(object));
      s->owner.b = static_cast<int8_t>(object);
      return true;
    }
    return false;
  }

  void StepOwner(const State& state) {
    if (state.owner.step == kIdle) return BeginOperation(state);
    State next = state;
    Thread& own = next.owner;
    const auto load = [&](int variable) { return Load(next, own, variable); };
    full_ = false;
    switch (own.step) {
      case kPopLoadTop:
        own.b = load(kTop);
        own.step = kPopLoadSlot;
        break;
      case kPopLoadSlot: {
        const int top = own.b;
        if (top == 0) {  // a miss, which a slow path serves from elsewhere
          own.step = kIdle;
          break;
        }
        own.a = load(kSlot0 + top - 1);
        own.step = kPopStoreTop;
        break;
      }
      case kPopStoreTop:
        Put(&own, kTop, own.b - 1);
        if (!full_) Receive(&next, own.a);
        own.step = kIdle;
        break;
      case kPushLoadTop:
        own.a = load(kTop);
        own.step = kPushStoreSlot;
        break;
      case kPushStoreSlot:
        Put(&own, kSlot0 + own.a, own.b);
        own.step = kPushStoreTop;
        break;
      case kPushStoreTop:
        Put(&own, kTop, own.a + 1);
        own.step = kIdle;
        break;
      case kBeginCache:
        Put(&own, kCache, kEmptyCache);
        own.step = own.a == 2 ? kEndLoad : kSlow;
        break;
      case kSlow: {
        const bool ours = load(kVisible) == kRealCache || !rules_.slow_paths_ask;
        own.step = !ours ? kReclaim : own.a == 0 ? kSlowPop : kSlowPush;
        break;
      }
      case kReclaim:
        if (next.lock != 0) return;
        next.lock = 1;
        Reclaim(&next);
        own.step = kReclaimed;
        break;
      case kReclaimed:
        ShowAll(&next, &own);  // the release
        next.lock = 0;
        own.step = own.a == 0 ? kSlowPop : kSlowPush;
        break;
      case kSlowPop: {
        const int top = load(kTop);
        if (top != 0) {
          Put(&own, kTop, top - 1);
          if (!full_) Receive(&next, load(kSlot0 + top - 1));
        }
        own.step = kEndLoad;
        break;
      }
      case kSlowPush: {
        const int top = load(kTop);
        Put(&own, kSlot0 + top, own.b);
        Put(&own, kTop, top + 1);
        own.step = kEndLoad;
        break;
      }
      case kEndLoad:
        own.b = rules_.end_stores_what_is_visible ? load(kVisible) : int8_t{kRealCache};
        own.step = kEndStore;
        break;
      case kEndStore:
        Put(&own, kCache, own.b);
        own.step = kEndDepth;
        break;
      default:
        Put(&own, kDepth, 0, /*release=*/rules_.depth_is_released);
        own.step = kIdle;
        break;
    }
    if (own.step == kIdle) own.a = own.b = 0;
    // With no room for a store, earlier ones must be shown first.
    if (!full_) Visit(next);
  }

  // EndRevocation, with the lock held.
  void Reclaim(State* s) {
    Thread& own = s->owner;
    ShowAll(s, &own);
    if (s->revocation == kTaken) {
      const int first = Left(s->held_at_look);
      const int top = s->memory[kTop];
      if (top < first) Fail("fewer objects than were left");
      int count = 0;
      for (int i = first; i < top; ++i) s->memory[kSlot0 + count++] = s->memory[kSlot0 + i];
      s->memory[kTop] = static_cast<int8_t>(count);
    }
    s->revocation = kNone;
    s->memory[kVisible] = kRealCache;
  }

  int Left(int held) const {
    if (!rules_.top_object_stays) return held;
    return held > 0 ? held - 1 : 0;
  }

  void StepTaker(const State& state) {
    State next = state;
    Thread& own = next.taker;
    const auto load = [&](int variable) { return Load(next, own, variable); };
    const auto lock = [&] {
      if (next.lock != 0) return false;
      next.lock = 2;
      return true;
    };
    // A barrier for all.
    const auto barrier = [&](bool wanted) {
      if (!wanted) return;
      ShowAll(&next, &next.owner);
      ShowAll(&next, &own);
    };
    switch (own.step) {
      case kAsk:
        if (!lock()) return;
        next.revocation = kAsked;
        Put(&own, kVisible, kEmptyCache);
        own.step = rules_.asks_before_hiding ? kAskUnlock : kHideStore;
        break;
      case kAskUnlock:
      case kHideUnlock:
      case kTakeUnlock:
        ShowAll(&next, &own);
        next.lock = 0;
        ++own.step;
        break;
      case kFirstBarrier:
        barrier(rules_.barrier_after_asking);
        own.step = kHide;
        break;
      case kHide:
        if (!lock()) return;
        if (next.revocation != kAsked) {
          own.step = kTakeUnlock;
        } else if (rules_.depth_is_looked_at && load(kDepth) != 0) {
          next.revocation = kNone;
          Put(&own, kVisible, kRealCache);
          own.step = kTakeUnlock;
        } else {
          own.step = kHideStore;
        }
        break;
      case kHideStore:
        Put(&own, kCache, kEmptyCache);
        next.revocation = kHidden;
        own.step = kHideUnlock;
        break;
      case kSecondBarrier:
        barrier(rules_.barrier_after_hiding);
        own.step = kTakeLock;
        break;
      case kTakeLock:
        if (!lock()) return;
        own.step = next.revocation == kHidden ? kTakeTop : kTakeUnlock;
        break;
      case kTakeTop:
        next.held_at_look = load(kTop);
        own.step = kTakeSlots;
        break;
      case kTakeSlots: {
        for (int i = 0; i < Left(next.held_at_look); ++i) {
          const int object = load(kSlot0 + i);
          if (object == 0 || (next.taken & Bit(object)) != 0 || (next.in_hand & Bit(object)) != 0) {
            Fail("an object was taken that isn't there");
            return;
          }
          next.taken |= Bit(object);
        }
        next.revocation = kTaken;
        own.step = kTakeUnlock;
        break;
      }
      default:
        return;
    }
    Visit(next);
  }

  // Each object is in one place.
  void CheckEnd(const State& state) {
    uint8_t all = state.in_hand | state.taken;
    int count = __builtin_popcount(state.in_hand) + __builtin_popcount(state.taken);
    const int first = state.revocation == kTaken ? Left(state.held_at_look) : 0;
    for (int i = first; i < state.memory[kTop]; ++i) {
      const int object = state.memory[kSlot0 + i];
      if (object == 0) return Fail("nothing in a slot");
      all |= Bit(object);
      ++count;
    }
    if (count != kObjects || all != (1 << kObjects) - 1) Fail("an object was lost");
    if (state.revocation != kTaken && state.revocation != kNone) Fail("left half done");
    ends_taken_ += state.revocation == kTaken || state.taken != 0;
  }

  const Rules rules_;
  State first_;
  std::vector<State> left_;
  std::unordered_set<std::string> seen_;
  std::string fault_;
  bool full_ = false;
  size_t states_ = 0;
  size_t ends_taken_ = 0;
};

// The first fault, over stacks of several heights.
std::string FirstFault(const Rules& rules) {
  for (int objects = 0; objects <= 4; ++objects) {
    Model model(rules, objects, /*operations=*/3);
    const std::string fault = model.Run();
    if (!fault.empty()) return fault;
    EXPECT_GT(model.states(), 1000u);
    if (objects > 1) EXPECT_GT(model.ends_taken(), 0u);
  }
  return "";
}

TEST(IdleCachesModelTest, NoOrderGivesAnObjectTwiceOrLosesOne) { EXPECT_EQ(FirstFault({}), ""); }

TEST(IdleCachesModelTest, EveryPrecautionIsNeeded) {
  EXPECT_NE(FirstFault({.barrier_after_asking = false}), "");
  EXPECT_NE(FirstFault({.barrier_after_hiding = false}), "");
  EXPECT_NE(FirstFault({.depth_is_looked_at = false}), "");
  EXPECT_NE(FirstFault({.depth_is_released = false}), "");
  EXPECT_NE(FirstFault({.end_stores_what_is_visible = false}), "");
  EXPECT_NE(FirstFault({.slow_paths_ask = false}), "");
  EXPECT_NE(FirstFault({.top_object_stays = false}), "");
  EXPECT_NE(FirstFault({.asks_before_hiding = false}), "");
}

}  // namespace
}  // namespace spanmalloc
