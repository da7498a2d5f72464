// SPDX-License-Identifier: Apache-2.0
#include "allocator/control/mallctl.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <algorithm>

#include "allocator/control/ctl_table.h"
#include "allocator/telemetry/stats_dump.h"

namespace spanmalloc {
namespace {

// The caller's arguments.
struct Transfer {
  void* oldp;
  size_t* oldlenp;
  const void* newp;
  size_t newlen;
};

// A name or MIB resolved: the number of components, and the row if it is a whole name.
struct Place {
  size_t depth = 0;
  bool whole = false;
  size_t row = 0;
  size_t mib[kMaxCtlDepth] = {};
};

size_t SizeOf(CtlType type) {
  switch (type) {
    case CtlType::kNone:
      return 0;
    case CtlType::kBool:
      return sizeof(bool);
    case CtlType::kUnsigned:
      return sizeof(unsigned);
    case CtlType::kUint64:
    case CtlType::kSize:
    case CtlType::kSigned:
      return sizeof(uint64_t);
    case CtlType::kString:
    case CtlType::kPointer:
      return sizeof(const char*);
  }
  return 0;
}

// Whether `index` may stand at part `d` of `path`.
bool IndexExists(const ControlTarget& target, const CtlPath& path, size_t d, size_t index) {
  const std::string_view part = path.Part(d);
  if (part == "<j>") return index < kSizeClasses;
  if (part == "<k>") return index < kLargeClasses;
  if (part == "<n>") return index < CtlRowCount();
  if (part == "<e>") return index < kExtentClasses;
  if (part == "<s>") return index < target.sources.central.shards();
  if (index == kAllArenas || index == kDestroyedArenas) return true;
  if (index == target.ArenaCount()) return true;
  return path.Part(0) == "arena" ? index < target.ArenaCount() : target.ArenaInitialized(index);
}

// What is meant by `index` at part `d` of `path`: the number of arenas is an older name of all of
// them. Handlers of arena.<i> know it themselves.
size_t IndexMeant(const ControlTarget& target, const CtlPath& path, size_t d, size_t index) {
  const bool arena = path.Part(d) == "<i>" && path.Part(0) != "arena";
  return arena && index == target.ArenaCount() ? size_t{kAllArenas} : index;
}

bool ParseIndex(std::string_view text, size_t* index) {
  if (text.empty()) return false;
  size_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    if (__builtin_mul_overflow(value, size_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<size_t>(c - '0'), &value)) {
      return false;
    }
  }
  *index = value;
  return true;
}

// The first row at or after `row`, with the same first `d` components, whose component `d` is
// `text`; sets *component to its value in a MIB. CtlRowCount() if there is none.
size_t FindComponent(const ControlTarget& target, size_t row, size_t d, std::string_view text,
                     size_t* component) {
  const size_t above = d == 0 ? 0 : CtlPathAt(row).numbers[d - 1];
  for (; row < CtlRowCount(); ++row) {
    const CtlPath path = CtlPathAt(row);
    if (d != 0 && (path.depth <= d || path.numbers[d - 1] != above)) break;
    if (path.IsIndex(d)) {
      if (!ParseIndex(text, component)) break;
      if (!IndexExists(target, path, d, *component)) break;
      return row;
    }
    if (path.Part(d) == text) {
      *component = path.numbers[d];
      return row;
    }
  }
  return CtlRowCount();
}

// Resolves at most `max_depth` components of `name`.
int FindName(const ControlTarget& target, const char* name, size_t max_depth, Place* place) {
  size_t row = 0;
  for (;;) {
    if (place->depth == max_depth) return 0;
    const char* dot = name;
    while (*dot != '.' && *dot != '\0') ++dot;
    const std::string_view part(name, static_cast<size_t>(dot - name));
    row = FindComponent(target, row, place->depth, part, &place->mib[place->depth]);
    if (row == CtlRowCount()) return ENOENT;
    ++place->depth;
    place->row = row;
    place->whole = CtlPathAt(row).depth == place->depth;
    if (*dot == '\0') return 0;
    if (place->whole) return ENOENT;
    name = dot + 1;
  }
}

// Finds the whole name that a MIB stands for. The last component of a name is never an index.
int FindMib(const ControlTarget& target, const size_t* mib, size_t miblen, Place* place) {
  if (miblen == 0 || miblen > kMaxCtlDepth) return ENOENT;
  const size_t row = mib[miblen - 1];
  if (row >= CtlRowCount() || CtlPathAt(row).depth != miblen) return ENOENT;
  const CtlPath path = CtlPathAt(row);
  for (size_t d = 0; d < miblen; ++d) {
    if (!path.IsIndex(d)) {
      if (mib[d] != path.numbers[d]) return ENOENT;
    } else if (mib[d] > UINT_MAX) {
      return EFAULT;
    } else if (!IndexExists(target, path, d, mib[d])) {
      return ENOENT;
    }
    place->mib[d] = mib[d];
  }
  place->depth = miblen;
  place->row = row;
  place->whole = true;
  return 0;
}

// Whether the arguments suit the kind of access.
int CheckAccess(const CtlRow& row, const Transfer& transfer) {
  const bool reads = transfer.oldp != nullptr || transfer.oldlenp != nullptr;
  const bool writes = transfer.newp != nullptr || transfer.newlen != 0;
  switch (row.access) {
    case CtlAccess::kRead:
    case CtlAccess::kReadOwn:
      return writes ? EPERM : 0;
    case CtlAccess::kReadOff:
      return transfer.newp != nullptr ? ENOENT : 0;
    case CtlAccess::kAbsent:
      return ENOENT;
    case CtlAccess::kReadWrite:
    case CtlAccess::kLookUp:
    case CtlAccess::kBuffer:
    case CtlAccess::kAnyAction:
      return 0;
    case CtlAccess::kWrite:
      if (reads) return EPERM;
      return transfer.newp == nullptr ? EINVAL : 0;
    case CtlAccess::kMayWrite:
      return reads ? EPERM : 0;
    case CtlAccess::kAction:
      return reads || writes ? EPERM : 0;
    case CtlAccess::kMake:
      if (writes) return EPERM;
      [[fallthrough]];
    case CtlAccess::kCreate:
    case CtlAccess::kCreateBy:
      if (transfer.oldp != nullptr && transfer.oldlenp != nullptr &&
          *transfer.oldlenp == SizeOf(row.type)) {
        return 0;
      }
      if (transfer.oldlenp != nullptr) *transfer.oldlenp = 0;
      return EINVAL;
  }
  return 0;
}

// What is written in to create or look up something is a pointer, whatever comes back.
int CopyIn(const CtlRow& row, const Transfer& transfer, CtlValue* value) {
  if (row.access == CtlAccess::kCreateBy) {
    if (transfer.newlen != sizeof(ArenaConfig)) return EINVAL;
    value->number = reinterpret_cast<uintptr_t>(transfer.newp);
    return 0;
  }
  const bool pointer = row.access == CtlAccess::kCreate || row.access == CtlAccess::kLookUp;
  const CtlType type = pointer ? CtlType::kSize : row.type;
  if (transfer.newlen != SizeOf(type)) return EINVAL;
  if (type == CtlType::kString) {
    memcpy(&value->string, transfer.newp, sizeof(value->string));
  } else {
    // Little-endian.
    std::copy_n(static_cast<const char*>(transfer.newp), transfer.newlen,
                reinterpret_cast<char*>(&value->number));
  }
  return 0;
}

int CopyOut(const CtlRow& row, const CtlValue& value, const Transfer& transfer) {
  if (transfer.oldp == nullptr || transfer.oldlenp == nullptr) return 0;
  if (row.type == CtlType::kNone) return 0;
  const size_t size = SizeOf(row.type);
  const void* from = row.type == CtlType::kString ? static_cast<const void*>(&value.string)
                                                  : static_cast<const void*>(&value.number);
  const size_t count = *transfer.oldlenp < size ? *transfer.oldlenp : size;
  memcpy(transfer.oldp, from, count);
  if (*transfer.oldlenp == size) return 0;
  *transfer.oldlenp = count;
  return EINVAL;
}

// What changes more than the control floor's own state takes its locks itself.
bool HoldsLock(CtlAccess access) {
  return access == CtlAccess::kRead || access == CtlAccess::kReadWrite ||
         access == CtlAccess::kReadOff || access == CtlAccess::kLookUp ||
         access == CtlAccess::kBuffer;
}

int Handle(Control& control, const CtlRow& row, size_t number, CtlCall* call) {
  int error = EAGAIN;
  if (row.access == CtlAccess::kReadOwn) {
    control.target().RunInside([&] { error = CtlHandle(number, *call); });
    return error;
  }
  if (!HoldsLock(row.access)) return CtlHandle(number, *call);
  return control.WithState([&](ControlState& state) {
    call->state = &state;
    return CtlHandle(number, *call);
  });
}

int Access(Control& control, const Place& place, const Transfer& transfer) {
  const CtlRow row = CtlRowAt(place.row);
  const CtlPath path = CtlPathAt(place.row);
  if (const int error = CheckAccess(row, transfer); error != 0) return error;
  CtlValue written;
  CtlValue value;
  CtlCall call = {control, nullptr, {}, nullptr, &value, transfer.oldp != nullptr};
  size_t indices = 0;
  for (size_t d = 0; d < path.depth; ++d) {
    if (!path.IsIndex(d)) continue;
    call.indices[indices++] = IndexMeant(control.target(), path, d, place.mib[d]);
  }
  if (transfer.newp != nullptr && row.access != CtlAccess::kAnyAction) {
    if (const int error = CopyIn(row, transfer, &written); error != 0) {
      // That there is nothing to be written comes first.
      const int reading =
          row.access == CtlAccess::kReadWrite ? Handle(control, row, place.row, &call) : 0;
      return reading != 0 ? reading : error;
    }
    call.write = &written;
  }
  const bool reads = transfer.oldp != nullptr && transfer.oldlenp != nullptr;
  if (row.access == CtlAccess::kBuffer && reads) {
    if (*transfer.oldlenp != sizeof(value.string)) return EINVAL;
    memcpy(&value.string, transfer.oldp, sizeof(value.string));
  }
  const int error = Handle(control, row, place.row, &call);
  return error != 0 ? error : CopyOut(row, value, transfer);
}

}  // namespace

int MallctlByName(Control& control, const char* name, void* oldp, size_t* oldlenp, const void* newp,
                  size_t newlen) {
  if (!control.target().Initialize()) return EAGAIN;
  Place place;
  const int error = FindName(control.target(), name, kMaxCtlDepth, &place);
  if (error != 0) return error;
  if (!place.whole) return ENOENT;
  return Access(control, place, {oldp, oldlenp, newp, newlen});
}

int MallctlNameToMib(Control& control, const char* name, size_t* mibp, size_t* miblenp) {
  if (!control.target().Initialize()) return EAGAIN;
  Place place;
  const size_t room = *miblenp < kMaxCtlDepth ? *miblenp : kMaxCtlDepth;
  const int error = FindName(control.target(), name, room, &place);
  if (error != 0) return error;
  memcpy(mibp, place.mib, place.depth * sizeof(size_t));
  *miblenp = place.depth;
  return 0;
}

int MallctlByMib(Control& control, const size_t* mib, size_t miblen, void* oldp, size_t* oldlenp,
                 const void* newp, size_t newlen) {
  if (!control.target().Initialize()) return EAGAIN;
  Place place;
  const int error = FindMib(control.target(), mib, miblen, &place);
  if (error != 0) return error;
  return Access(control, place, {oldp, oldlenp, newp, newlen});
}

int ReadCtlRow(Control& control, ControlState* state, size_t row, const size_t* indices,
               CtlValue* value) {
  const CtlPath path = CtlPathAt(row);
  CtlCall call = {control, state, {}, nullptr, value, true};
  size_t count = 0;
  for (size_t d = 0; d < path.depth; ++d) {
    if (!path.IsIndex(d)) continue;
    if (!IndexExists(control.target(), path, d, indices[count])) return ENOENT;
    call.indices[count] = IndexMeant(control.target(), path, d, indices[count]);
    ++count;
  }
  return control.WithState([&](ControlState& current) {
    if (state == nullptr) call.state = &current;
    return CtlHandle(row, call);
  });
}

bool CtlIndexExists(const ControlTarget& target, size_t row, size_t d, size_t index) {
  return IndexExists(target, CtlPathAt(row), d, index);
}

}  // namespace spanmalloc
