#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Which of the library's functions a program executes, start and end included, one per line.

    tools/first_functions.py bazel-bin/libspanmalloc.so PROGRAM ARGS...

Runs the program under the library, instruction by instruction (x86-64), and marks with a star what
lies outside of the library's first segment of code: a name that tools/bazel/spanmalloc.lds lacks,
if the program is one that does little. Each step takes its time, so that maintenance shows up, for
which a program is otherwise too short.
"""

import bisect
import ctypes
import os
import re
import subprocess
import sys

_TRACEME, _PEEKUSER, _SINGLESTEP = 0, 3, 9
_INSTRUCTION_POINTER = 16 * 8  # in struct user

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def executed(command, library):
    """The addresses of the instructions that were executed in the library, as in its file."""
    child = os.fork()
    if child == 0:
        _libc.ptrace(_TRACEME, 0, None, None)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execve(command[0], command, dict(os.environ, LD_PRELOAD=library))
    addresses = set()
    while not os.WIFEXITED(os.waitpid(child, 0)[1]):
        addresses.add(_libc.ptrace(_PEEKUSER, child, _INSTRUCTION_POINTER, None))
        if len(addresses) % 64 == 0:
            with open(f"/proc/{child}/maps", encoding="utf-8") as maps:
                mapped = re.findall(rf"^(\w+)-(\w+) .*{re.escape(library)}$", maps.read(), re.M)
        _libc.ptrace(_SINGLESTEP, child, None, None)
    begin, end = int(mapped[0][0], 16), int(mapped[-1][1], 16)
    return {address - begin for address in addresses if begin <= address < end}


def functions(library):
    """(address, in the first segment, name) of all functions, by address."""
    sections = subprocess.run(["readelf", "-SW", library], check=True, stdout=subprocess.PIPE,
                              text=True).stdout
    starts = {name: int(address, 16)
              for name, address in re.findall(r" (\.[.\w]+) +\w+ +(\w+) ", sections)}
    first = range(starts[".init"], starts[".rodata"])
    symbols = subprocess.run(["nm", "--defined-only", library], check=True, stdout=subprocess.PIPE,
                             text=True).stdout
    rows = re.findall(r"^(\w+) [tTwW] (\S+)$", symbols, re.M)
    return sorted((int(address, 16), int(address, 16) in first, name) for address, name in rows)


def main():
    library = os.path.realpath(sys.argv[1])
    known = functions(library)
    starts = [address for address, _, _ in known]
    found = {bisect.bisect(starts, address) - 1 for address in executed(sys.argv[2:], library)}
    for index in sorted(found - {-1}):
        print(" " if known[index][1] else "*", known[index][2])


if __name__ == "__main__":
    main()
