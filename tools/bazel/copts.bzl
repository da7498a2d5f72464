# SPDX-License-Identifier: Apache-2.0
"""Compiler flags. Every package of this repository uses one of the two lists."""

# Tests, benchmarks, tools.
SPAN_COPTS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wthread-safety",
]

# The allocator itself (allocator/**). It ends up inside every program of the machine: no C++
# runtime, no symbol that is not marked as exported, thread state at a fixed offset of the thread
# pointer, and no frame or canary on the paths of malloc and free.
SPAN_CORE_COPTS = SPAN_COPTS + [
    "-fPIC",
    "-fvisibility=hidden",
    "-fvisibility-inlines-hidden",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-ftls-model=initial-exec",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-stack-protector",
] + select({
    "//tools/bazel:keep_frame_pointers": [],
    "//conditions:default": ["-fomit-frame-pointer"],
})
