// SPDX-License-Identifier: Apache-2.0
//
// Handlers of tcache.*: caches that the program makes, and names in mallocx's flags. EFAULT where
// there is no such cache, or none can be made.
#include <errno.h>

#include "allocator/control/ctl_handlers.h"

namespace spanmalloc {
namespace {

int ActOnCache(int (*act)(unsigned index), const CtlCall& call) {
  return act == nullptr ? EFAULT : act(static_cast<unsigned>(call.write->number));
}

}  // namespace

int TcacheCreate(const CtlCall& call) {
  if (call.target().cache_create == nullptr) return EFAULT;
  unsigned index = 0;
  const int error = call.target().cache_create(&index);
  call.value->number = index;
  return error;
}

int TcacheFlush(const CtlCall& call) { return ActOnCache(call.target().cache_flush, call); }

int TcacheDestroy(const CtlCall& call) { return ActOnCache(call.target().cache_destroy, call); }

}  // namespace spanmalloc
