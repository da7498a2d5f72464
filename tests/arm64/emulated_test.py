#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs arm64 programs with the library preloaded under qemu: emulated_test.py PROGRAM...

Each program is a test case, judged as tests/override/runner.py judges it. The loader and libc are
those of Debian's g++-aarch64-linux-gnu.
"""

import os
import shlex
import sys
import tempfile

sys.path.insert(0, "tests/override")
import runner  # pylint: disable=wrong-import-position

EMULATOR = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"]

# The programs that need what qemu's user mode does not offer.
NOT_EMULATED = {
    "qemu ignores RLIMIT_AS": (
        "bad_alloc",
        "first_malloc_under_pressure",
        "new_handler",
        "realloc_failure",
        "rlimit_as",
        "rlimit_as_threads",
        "small_address_space",
    ),
    "qemu does not emulate the programs that execve starts": (
        "atfork_handlers",
        "first_call",
        "fork_exec_storm",
        "hard_limit_abort",
        "late_dlopen",
        "soft_limit",
    ),
    "qemu's own thread counts as the program's": (
        "background_thread_ends",
        "idle_child",
        "idle_returns_memory",
        "no_background_thread",
    ),
    "qemu's own memory counts as the program's": (
        "cancellation",
        "dlopened_client",
        "hard_limit",
        "many_threads",
        "thread_churn",
        "thread_exit_returns_cache",
        "tls_destructors",
    ),
}

# Options of programs that qemu doesn't run as they are.
OPTIONS = {
    # qemu holds a lock of its own while a thread starts another one, and a child that was forked
    # meanwhile waits for it when it starts a thread: with any malloc (docs/porting.md). Here the
    # allocator's own thread is the one that is started beside forks.
    "fork_busy": "background_thread:false",
}


def write_wrapper(folder, program, library):
    """Writes the script that runs the program emulated; returns its path."""
    path = os.path.join(folder, os.path.basename(program))
    variables = [f"LD_PRELOAD={library}", f"TEST_LIBRARY={library}"]
    options = [word for variable in variables for word in ("-E", variable)]
    command = shlex.join([*EMULATOR, *options, os.path.abspath(program)])
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\nexec {command}\n")
    os.chmod(path, 0o755)
    return path


def run_emulated(program, library):
    """Runs one program to its end; returns its runner.Outcome."""
    name = os.path.basename(program)
    for reason, names in NOT_EMULATED.items():
        if name in names:
            return runner.Outcome(name, "SKIP", reason, 0)
    with tempfile.TemporaryDirectory() as folder:
        wrapper = write_wrapper(folder, program, library)
        environment = runner.environment("system", OPTIONS.get(name, ""))
        return runner.run(wrapper, environment, timeout=300)


def main():
    """Runs them all and writes Bazel's test.xml."""
    library = runner.find_library(os.environ["SPANMALLOC_SO"])
    outcomes = []
    for program in sys.argv[1:]:
        outcome = run_emulated(program, library)
        outcomes.append(outcome)
        print(f"{outcome.verdict} {outcome.name} ({outcome.seconds:.1f} s)  {outcome.reason}",
              flush=True)
    runner.write_xml(os.environ["XML_OUTPUT_FILE"], "emulated_test", outcomes)
    return 1 if not outcomes or any(o.verdict == "FAIL" for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
