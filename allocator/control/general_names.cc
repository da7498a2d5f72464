// SPDX-License-Identifier: Apache-2.0
//
// Handlers of the names at the top, of opt.* and of spanmalloc.*.
#include <errno.h>

#include "allocator/control/ctl_handlers.h"
#include "allocator/control/stats_print.h"
#include "allocator/telemetry/corruption_report.h"

namespace spanmalloc {

int Version(const CtlCall& call) {
  call.value->string = kVersion;
  return 0;
}

int Epoch(const CtlCall& call) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  if (call.write != nullptr) call.control.NextEpoch(call.state);
  call.value->number = call.state->epoch;
  return 0;
}

int BackgroundThreadEnabled(const CtlCall& call) {
  BackgroundThread* thread = call.target().sources.background;
  call.value->number = thread != nullptr && thread->enabled();
  if (call.write == nullptr) return 0;
  if (thread == nullptr) return call.write->number == 0 ? 0 : EFAULT;
  thread->Request(call.write->number != 0);
  return 0;
}

int MaxBackgroundThreads(const CtlCall& call) {
  call.value->number = call.target().sources.background != nullptr;
  return call.write == nullptr || call.write->number == 1 ? 0 : EINVAL;
}

int ConfigMallocConf(const CtlCall& call) {
  call.value->string = "";
  return 0;
}

int ReadOption(const CtlCall& call, size_t row) {
  const OptionValue value = ValueOf(call.target().options, row);
  call.value->number = static_cast<uint64_t>(value.number);
  call.value->string = value.text;
  return 0;
}

int Names(const CtlCall& call) {
  call.value->string = CtlNames();
  return 0;
}

int NameCount(const CtlCall& call) {
  call.value->number = CtlRowCount();
  return 0;
}

int NameType(const CtlCall& call) {
  call.value->string = CtlTypeText(CtlRowAt(call.indices[0]).type);
  return 0;
}

int NameAccess(const CtlCall& call) {
  call.value->string = CtlAccessText(CtlRowAt(call.indices[0]).access);
  return 0;
}

int NameUnit(const CtlCall& call) {
  call.value->string = CtlRowAt(call.indices[0]).unit;
  return 0;
}

int NameHelp(const CtlCall& call) {
  call.value->string = CtlRowAt(call.indices[0]).help;
  return 0;
}

int CpuSource(const CtlCall& call) {
  call.value->string = CpuSourceName();
  return 0;
}

int ProfilerActive(const CtlCall& call) {
  return call.write == nullptr || call.write->number == 0 ? 0 : ENOENT;
}

int ProfilerHook(const CtlCall& call) { return call.reads ? 0 : EINVAL; }

int SafetyCheckAbort(const CtlCall& call) {
  if (call.write != nullptr) {
    SetAbortHook(reinterpret_cast<void (*)(const char*)>(call.write->number));
  }
  return 0;
}

int SoftLimit(const CtlCall& call) {
  MemoryLimits* limits = call.target().sources.limits;
  if (limits == nullptr) return EFAULT;
  call.value->number = limits->Stats().soft;
  if (call.write != nullptr) limits->SetSoft(call.write->number);
  return 0;
}

int HardLimit(const CtlCall& call) {
  MemoryLimits* limits = call.target().sources.limits;
  if (limits == nullptr) return EFAULT;
  call.value->number = limits->Stats().hard;
  if (call.write != nullptr) limits->SetHard(call.write->number);
  return 0;
}

}  // namespace spanmalloc
