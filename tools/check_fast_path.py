#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what the hit path of malloc and free executes in the shipped library.

  tools/check_fast_path.py             compares with tests/golden/fast_path.x86_64.golden
  tools/check_fast_path.py --update    rewrites that file
  tools/check_fast_path.py --show NAME prints the instructions counted for one function

The hit path is the straight line from a function's first instruction to its first ret: forward
conditional jumps are not taken (they lead to the misses), an unconditional jmp is followed when it
stays inside the function. One conditional jump is taken: the one that skips nothing but a tail call
out of the function, since that tail call is the miss. Whatever else would need a guess is an error,
never a number: a call, a loop, a tail call, a trap, or the function's end without a ret.

The library is the one of `tools/build`, or --library. Run by tests/golden/fast_path_test.py.
"""

import argparse
import collections
import os
import re
import subprocess
import sys

FUNCTIONS = ("malloc", "free", "_Znwm", "_ZdlPv", "_ZdlPvm", "aligned_alloc")

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = os.path.join(ROOT, "bazel-bin", "libspanmalloc.so")
GOLDEN = os.path.join(ROOT, "tests", "golden", "fast_path.x86_64.golden")

HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# What the hit path executes, entry to ret, in libspanmalloc.so as shipped (clang-19, -O2).
# fs_loads: loads through the thread pointer. stores: instructions that write memory.
# A change here is a change of the fast path: measure it, then tools/check_fast_path.py --update.
"""

Instruction = collections.namedtuple("Instruction", "address mnemonic operands text")
Function = collections.namedtuple("Function", "name start end")
Counts = collections.namedtuple("Counts", "instructions fs_loads stores")

PREFIXES = {"lock", "rep", "repz", "repnz", "repe", "repne", "bnd", "notrack", "data16", "cs"}
TRAPS = ("ud2", "int3", "hlt")

# Mnemonics (without AT&T size suffix) whose last operand is read, not written.
READS_LAST = re.compile(
    r"(cmp|test|bt|lea|nop|u?comis[sd]|prefetch\w*|i?mul|i?div|jmp|call)[bwlq]?$"
)
# Mnemonics that write their last operand without reading it.
ONLY_WRITES = re.compile(r"(v?mov\w*|set\w+|stos\w*|push[wlq]?)$")


class FastPathError(Exception):
    """The hit path cannot be counted; the text says what is in the way."""


def split_operands(text):
    """Splits AT&T operands at the commas outside parentheses."""
    operands, depth, current = [], 0, ""
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            operands.append(current.strip())
            current = ""
        else:
            current += char
    if current.strip():
        operands.append(current.strip())
    return operands


def parse_instruction(line):
    """One Instruction of an `objdump -d --no-show-raw-insn` line, or None for any other line."""
    match = re.match(r"\s+([0-9a-f]+):\s+(\S.*)$", line)
    if not match:
        return None
    text = match.group(2).split("#")[0].strip()
    words = text.split(None, 1)
    while len(words) == 2 and words[0] in PREFIXES:
        words = words[1].split(None, 1)
    rest = re.sub(r"\s*<[^>]*>", "", words[1]) if len(words) == 2 else ""
    return Instruction(int(match.group(1), 16), words[0], split_operands(rest), text)


def parse_disassembly(text):
    """The instructions of a disassembly by address."""
    parsed = (parse_instruction(line) for line in text.splitlines())
    return {instruction.address: instruction for instruction in parsed if instruction}


def parse_symbols(text):
    """The functions of `nm -D -S --defined-only` by name."""
    functions = {}
    for line in text.splitlines():
        match = re.match(r"([0-9a-f]+) ([0-9a-f]+) [TWi] ([^@\s]+)", line)
        if match:
            start, size = int(match.group(1), 16), int(match.group(2), 16)
            functions[match.group(3)] = Function(match.group(3), start, start + size)
    return functions


def jump_target(instruction):
    """The address a direct jump goes to, or None for an indirect one."""
    operand = instruction.operands[0] if instruction.operands else ""
    return int(operand, 16) if re.fullmatch(r"[0-9a-f]+", operand) else None


def leaves(instruction, function):
    """Whether an instruction is a jmp out of the function: a tail call."""
    if not instruction.mnemonic.startswith("jmp"):
        return False
    target = jump_target(instruction)
    return target is None or not function.start <= target < function.end


def next_address(instruction, function, after, instructions):
    """Where the hit path continues after an instruction; None after the last one."""
    where = f"{function.name}+{instruction.address - function.start:#x}: {instruction.text}"
    mnemonic = instruction.mnemonic
    if mnemonic in ("ret", "retq"):
        return None
    if mnemonic in TRAPS:
        raise FastPathError(f"{where}: the straight line ends in a trap, not in a ret")
    if mnemonic.startswith("call"):
        raise FastPathError(
            f"{where}: the straight line calls, so either the hit path lost its inlining or the "
            "compiler laid it behind a taken jump; mark the miss as unlikely"
        )
    if leaves(instruction, function):
        raise FastPathError(f"{where}: the hit path leaves the function by a tail call")
    if mnemonic.startswith("jmp"):
        return jump_target(instruction)
    if mnemonic.startswith(("j", "loop")):
        target = jump_target(instruction)
        if target is not None and function.start <= target <= instruction.address:
            raise FastPathError(f"{where}: the hit path has a loop")
        if after and leaves(instructions[after], function) and target in instructions:
            return target if function.start <= target < function.end else after
    return after


def hit_path(function, instructions):
    """The instructions executed on a hit, entry to ret inclusive."""
    path, seen = [], set()
    addresses = sorted(a for a in instructions if function.start <= a < function.end)
    successor = dict(zip(addresses, addresses[1:]))
    address = function.start
    while address is not None:
        if address in seen:
            raise FastPathError(f"{function.name}: the hit path has a loop")
        if address not in instructions:
            raise FastPathError(f"{function.name}: no instruction at {address:#x}")
        seen.add(address)
        instruction = instructions[address]
        path.append(instruction)
        after = successor.get(address)
        address = next_address(instruction, function, after, instructions)
        if address is None and instruction.mnemonic not in ("ret", "retq"):
            raise FastPathError(f"{function.name}: no ret on the straight line")
    return path


def is_memory(operand):
    """Whether an operand is in memory."""
    return "(" in operand or operand.startswith(("%fs:", "%gs:"))


def is_store(instruction):
    """Whether an instruction writes memory, the stack included."""
    if instruction.mnemonic.startswith("push"):
        return True
    if not instruction.operands or READS_LAST.match(instruction.mnemonic):
        return False
    return is_memory(instruction.operands[-1])


def is_fs_load(instruction):
    """Whether an instruction reads memory through the thread pointer."""
    if instruction.mnemonic.startswith(("lea", "nop")):
        return False
    for index, operand in enumerate(instruction.operands):
        if "%fs:" in operand:
            is_last = index == len(instruction.operands) - 1
            single_source = instruction.mnemonic.startswith("push")
            if single_source or not (is_last and ONLY_WRITES.match(instruction.mnemonic)):
                return True
    return False


def count(name, path):
    """The three numbers of a hit path, which must at least load and change the thread's cache."""
    counts = Counts(len(path), sum(map(is_fs_load, path)), sum(map(is_store, path)))
    if not counts.fs_loads or not counts.stores:
        raise FastPathError(
            f"{name}: the straight line of {counts.instructions} instructions does not touch the "
            "thread's cache, so it is not the hit path; the compiler laid that behind a taken jump"
        )
    return counts


def run(*command):
    """The standard output of a command that must succeed."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def read_library(path):
    """The instructions and functions of a library: what hit_path needs."""
    if not os.path.exists(path):
        raise FastPathError(f"no library {path}; tools/build makes it")
    machine = run("objdump", "-f", path)
    if "x86-64" not in machine:
        raise FastPathError(f"{path} is not an x86-64 library")
    disassembly = run("objdump", "-d", "--no-show-raw-insn", path)
    symbols = run("nm", "-D", "-S", "--defined-only", path)
    return parse_disassembly(disassembly), parse_symbols(symbols)


def find_path(name, functions, instructions):
    """The hit path of a function by name."""
    if name not in functions:
        raise FastPathError(f"the library exports no function {name}")
    return hit_path(functions[name], instructions)


def format_table(counts):
    """The golden file's text for a dict of name to Counts."""
    rows = [("name", *Counts._fields)] + [(name, *counts[name]) for name in counts]
    lines = ["{:<8}{:>14}{:>10}{:>8}".format(*map(str, row)) for row in rows]
    return HEADER + "\n".join(lines) + "\n"


def measure(library):
    """The table of a library."""
    instructions, functions = read_library(library)
    return format_table(
        {name: count(name, find_path(name, functions, instructions)) for name in FUNCTIONS}
    )


def main():
    """Compares, updates or shows; 0 if the table is the golden one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=LIBRARY, help="default: %(default)s")
    parser.add_argument("--golden", default=GOLDEN, help="default: %(default)s")
    parser.add_argument("--update", action="store_true", help="rewrite the golden file")
    parser.add_argument("--show", metavar="NAME", help="print one function's hit path")
    options = parser.parse_args()

    try:
        if options.show:
            instructions, functions = read_library(options.library)
            for instruction in find_path(options.show, functions, instructions):
                print(f"{instruction.address:8x}  {instruction.text}")
            return 0
        table = measure(options.library)
    except FastPathError as error:
        print(f"check_fast_path: {error}", file=sys.stderr)
        return 1

    if options.update:
        with open(options.golden, "w", encoding="utf-8") as file:
            file.write(table)
        print(table, end="")
        return 0
    with open(options.golden, encoding="utf-8") as file:
        expected = file.read()
    if table != expected:
        print(f"The fast path changed.\n\nexpected ({options.golden}):\n{expected}\n"
              f"found ({options.library}):\n{table}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
