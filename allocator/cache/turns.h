// SPDX-License-Identifier: Apache-2.0
//
// Whether a thread comes in short turns: a few slow paths, then other threads have its CPU. By this
// the runtime decides, in a process that has very many threads, which of them have caches of their
// own (cpu_caches.h): what one caches that soon loses its CPU is cold when it comes back.
//
// The thread's alone.
#ifndef SPANMALLOC_ALLOCATOR_CACHE_TURNS_H_
#define SPANMALLOC_ALLOCATOR_CACHE_TURNS_H_

#include <cstdint>

namespace spanmalloc {

class Turns {
 public:
  // Slow paths of a short turn are fewer, and those of a long one as many.
  static constexpr unsigned kShort = 16;
  static constexpr unsigned kLong = 31;
  // So many short ones in a row make a thread that takes turns.
  static constexpr unsigned kInARow = 7;

  // The thread comes to a slow path. `again`: no other did on its CPU since it last came.
  void NoteSlowPath(bool again) {
    if (!again) EndTurn();
    if (slow_paths_ < kLong && ++slow_paths_ == kShort) short_turns_ = 0;
  }

  bool AreShort() const { return short_turns_ == kInARow; }
  bool IsLong() const { return slow_paths_ == kLong; }

 private:
  void EndTurn() {
    if (slow_paths_ < kShort && short_turns_ < kInARow) ++short_turns_;
    slow_paths_ = 0;
  }

  uint8_t slow_paths_ : 5 = 0;   // in this turn
  uint8_t short_turns_ : 3 = 0;  // in a row, before it
};
static_assert(sizeof(Turns) == 1);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CACHE_TURNS_H_
