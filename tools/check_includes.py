#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what the files of allocator/ include against the order of its floors.

  tools/check_includes.py [ROOT]      ROOT: the repository (default: the one this file is in)

A file includes its own floor and the floors below it (tools/bazel/floors.bzl has the order), never
one above, never tests, benchmarks or tools. System interfaces are for os/ alone, and Abseil's
internals for nobody. Each offence is one line: where, what, why. Run by
tests/golden/include_order_test.py.
"""

import ast
import os
import re
import sys

SUFFIXES = (".h", ".hpp", ".cc", ".def", ".inc")
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
SYSTEM = re.compile(r"(sys|linux|asm)/|(pthread|sched|unistd)\.h$")
ABSEIL_INTERNAL = re.compile(r"absl/(.*/)?internal/")
# Where the public headers, included as <spanmalloc/...>, live.
PUBLIC_PREFIX, PUBLIC_FLOOR = "spanmalloc/", "api"


def read_floors(root):
    """The list FLOORS of floors.bzl, which is Python as well as Starlark."""
    path = os.path.join(root, "tools", "bazel", "floors.bzl")
    with open(path, encoding="utf-8") as file:
        for node in ast.parse(file.read()).body:
            if isinstance(node, ast.Assign) and node.targets[0].id == "FLOORS":
                return ast.literal_eval(node.value)
    raise ValueError(f"{path} has no list FLOORS")


def target_floor(included):
    """The floor an include names, None if it names none of ours."""
    parts = included.split("/")
    if parts[0] == "allocator" and len(parts) > 1:
        return parts[1]
    if included.startswith(PUBLIC_PREFIX):
        return PUBLIC_FLOOR
    return None


def check_include(included, quoted, own_floor, floors):
    """Why a file of own_floor may not include this; None if it may."""
    floor = target_floor(included)
    if floor is not None:
        if floor not in floors:
            return f"{floor} is no floor of allocator/"
        if floors.index(floor) < floors.index(own_floor):
            return f"{own_floor} -> {floor} goes up; the order is {' > '.join(floors)}"
        return None
    if included.split("/")[0] in ("tests", "benchmarks", "tools"):
        return "the allocator includes nothing outside allocator/"
    if ABSEIL_INTERNAL.match(included):
        return "Abseil's internal headers are not its interface"
    if SYSTEM.match(included) and own_floor != "os":
        return "system interfaces are included by os/ alone"
    if quoted and not included.startswith("absl/"):
        return "a quoted include names its path from the repository's root"
    return None


def check_file(path, own_floor, floors, root):
    """The offences of one file, as lines to print."""
    offences = []
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = INCLUDE.match(line)
            if match:
                reason = check_include(match.group(2), match.group(1) == '"', own_floor, floors)
                if reason:
                    offences.append(f"{path}:{number}: includes {match.group(2)}: {reason}")
    return offences


def check_tree(root):
    """All offences under root/allocator, and how many files were read."""
    floors = read_floors(root)
    offences, files = [], 0
    for folder, _, names in sorted(os.walk(os.path.join(root, "allocator"))):
        relative = os.path.relpath(folder, root)
        parts = relative.split(os.sep)
        for name in sorted(names):
            path = os.path.join(relative, name)
            if not name.endswith(SUFFIXES):
                continue
            files += 1
            if len(parts) < 2 or parts[1] not in floors:
                offences.append(f"{path}: not on a floor; the floors are {' > '.join(floors)}")
            else:
                offences.extend(check_file(path, parts[1], floors, root))
    return offences, files


def main():
    """Prints the offences; 0 if there are none."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    offences, files = check_tree(sys.argv[1] if len(sys.argv) > 1 else here)
    for offence in offences:
        print(offence)
    print(f"{files} files, {len(offences)} offences")
    return 1 if offences or not files else 0


if __name__ == "__main__":
    sys.exit(main())
