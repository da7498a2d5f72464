# SPDX-License-Identifier: Apache-2.0
"""The floors of allocator/, from the program's calls down to plain data structures.

A floor uses its own folder and the floors after it in this list, never one before it.
Bazel enforces that for targets (floors_above as visibility), tools/check_includes.py, which reads
this list, for #include lines.
"""

load("//tools/bazel:copts.bzl", "SPAN_CORE_COPTS")

FLOORS = [
    "api",
    "control",
    "telemetry",
    "cache",
    "central",
    "heap",
    "os",
    "params",
    "util",
]

def floors_above(floor):
    """Who may depend on a floor: the floors above it, and everything outside allocator/."""
    if floor not in FLOORS:
        fail("no floor named %s" % floor)
    above = FLOORS[:FLOORS.index(floor)]
    return ["//allocator/%s:__pkg__" % name for name in above] + [
        "//:__pkg__",
        "//benchmarks:__subpackages__",
        "//tests:__subpackages__",
        "//tools:__subpackages__",
    ]

def floor_library(name, floor, deps = [], **kwargs):
    """A cc_library of a floor: it may use the floors below, and of Abseil what is headers only.

    Args:
      name: the target's name.
      floor: the floor it belongs to.
      deps: what it uses besides.
      **kwargs: passed on to cc_library.
    """
    below = FLOORS[FLOORS.index(floor) + 1:]
    native.cc_library(
        name = name,
        copts = SPAN_CORE_COPTS,
        features = ["layering_check"],
        linkstatic = True,
        visibility = floors_above(floor),
        deps = deps + ["//allocator/%s" % name for name in below] + [
            "@com_google_absl//absl/base:core_headers",
            "@com_google_absl//absl/numeric:bits",
        ],
        **kwargs
    )
