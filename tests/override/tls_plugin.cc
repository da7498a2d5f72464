// SPDX-License-Identifier: Apache-2.0
//
// A user of thread-local storage of the initial-exec kind, which takes from the small reserve that
// the loader keeps for late libraries; late_dlopen.cc loads eight copies before the allocator.

namespace {

__attribute__((tls_model("initial-exec"))) thread_local char state[48];

}  // namespace

extern "C" __attribute__((visibility("default"))) char* TlsPluginState() { return state; }
