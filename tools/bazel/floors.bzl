# SPDX-License-Identifier: Apache-2.0
"""The floors of allocator/, from the program's calls down to plain data structures.

A floor uses its own folder and the floors after it in this list, never one before it.
Bazel enforces that for targets (floors_above as visibility), tools/check_includes.py, which reads
this list, for #include lines.
"""

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
