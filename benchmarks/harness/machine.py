# SPDX-License-Identifier: Apache-2.0
"""Describes the machine and the libraries of a run: the text of machine.txt."""

import datetime
import os
import platform
import re
import subprocess


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def _first(pattern, text):
    match = re.search(pattern, text, re.MULTILINE)
    return match.group(1) if match else "unknown"


def _commit(root):
    """The commit of the tree, marked if files differ from it."""
    described = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"],
                               capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def describe(libraries, root, arguments):
    """Lines `name: value`."""
    cpu = _read("/proc/cpuinfo")
    memory_kib = _first(r"^MemTotal:\s+(\d+)", _read("/proc/meminfo"))
    lines = [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("commit", _commit(root)),
        ("arguments", " ".join(arguments) or "none"),
        ("cpu", _first(r"^model name\s*:\s*(.*)$", cpu)),
        ("cpu family/model", _first(r"^cpu family\s*:\s*(.*)$", cpu) + "/"
         + _first(r"^model\s*:\s*(.*)$", cpu)),
        ("cpus", str(len(os.sched_getaffinity(0)))),
        ("memory", f"{int(memory_kib) / 2**20:.1f} GiB"),
        ("kernel", platform.release()),
        ("system", _first(r'^PRETTY_NAME="(.*)"$', _read("/etc/os-release"))),
        ("glibc", os.confstr("CS_GNU_LIBC_VERSION")),
        ("transparent huge pages", _read("/sys/kernel/mm/transparent_hugepage/enabled")),
        ("overcommit", _read("/proc/sys/vm/overcommit_memory")),
        ("load before", _read("/proc/loadavg")),
    ]
    lines += [
        (f"library {library.name}", f"{os.path.basename(library.expected_file)}, "
         f"{library.version()}, sha256 {library.sha256()}")
        for library in libraries
    ]
    return "".join(f"{name}: {value}\n" for name, value in lines)
