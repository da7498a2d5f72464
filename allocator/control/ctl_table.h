// SPDX-License-Identifier: Apache-2.0
//
// The table of mallctl's names: its rows, from names.def, and their place in the tree of names.
// Constant data without pointers, which the dynamic linker would have to relocate in every process.
// Handlers (in the files *_names.cc) get and set values; mallctl.cc checks and copies them.
#ifndef SPANMALLOC_ALLOCATOR_CONTROL_CTL_TABLE_H_
#define SPANMALLOC_ALLOCATOR_CONTROL_CTL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "allocator/control/control.h"

namespace spanmalloc {

// Types of values, with jemalloc's sizes.
enum class CtlType : uint8_t {
  kNone,
  kBool,      // bool, one byte
  kUnsigned,  // unsigned, and uint32_t: four bytes
  kUint64,
  kSize,     // size_t
  kSigned,   // ssize_t
  kString,   // const char*
  kPointer,  // of some kind
};

enum class CtlAccess : uint8_t {
  kRead,
  kReadWrite,
  kReadOff,    // read; of a feature that is off, so that any write is ENOENT
  kWrite,      // written only, and that must be
  kMayWrite,   // written only, if at all
  kReadOwn,    // read, of the calling thread alone: without the lock
  kAbsent,     // an entry by name, which answers ENOENT whatever is asked
  kAction,     // neither read nor written: naming it does it
  kAnyAction,  // the same, and what is given with it is left alone
  kCreate,     // makes something and returns its index, which must be asked for
  kCreateBy,   // as kCreate; what is written is an arena_config_t, and the handler gets its address
  kMake,       // as kCreate, and nothing is written
  kLookUp,     // what belongs to a pointer, which is written
  kBuffer,  // read and written; what is to be read is copied to where the caller's pointer points
};

struct CtlValue {
  uint64_t number = 0;           // of every type but kString; addresses, too
  const char* string = nullptr;  // of kString
};

// One access to a name.
struct CtlCall {
  Control& control;
  ControlState* state;    // nullptr for what runs without the lock
  size_t indices[2];      // what stood for <i> and <j>
  const CtlValue* write;  // nullptr if nothing is written
  CtlValue* value;        // to be set to what is read
  bool reads;             // somebody wants that

  const ControlTarget& target() const { return control.target(); }
  size_t arena() const { return indices[0]; }
};

inline constexpr size_t kMaxCtlDepth = 7;

struct CtlRow {
  std::string_view name;  // with <i>, <j> and <k> where an index stands
  CtlType type;
  CtlAccess access;
  const char* unit;
  const char* help;
};

// A row's name taken apart. The number of a component (its value in a MIB, unless it is an index)
// is the number of the first row that has the same name up to there.
struct CtlComponents {
  uint8_t depth = 0;
  uint8_t begins[kMaxCtlDepth] = {};
  uint8_t sizes[kMaxCtlDepth] = {};
  uint16_t numbers[kMaxCtlDepth] = {};
};

struct CtlPath : CtlComponents {
  std::string_view name;

  constexpr std::string_view Part(size_t d) const { return {name.data() + begins[d], sizes[d]}; }
  // An index stands there.
  constexpr bool IsIndex(size_t d) const { return Part(d)[0] == '<'; }
};

size_t CtlRowCount();
CtlRow CtlRowAt(size_t row);
CtlPath CtlPathAt(size_t row);

// Calls the handler of a row, which returns an errno number.
int CtlHandle(size_t row, const CtlCall& call);

// "b", "u64", ... and "r", "rw", ..., as the documentation has them; "" for kNone.
const char* CtlTypeText(CtlType type);
const char* CtlAccessText(CtlAccess access);

// All names, one in a line.
const char* CtlNames();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CONTROL_CTL_TABLE_H_
