#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs whole-allocator programs under a preloaded library and says which of them failed.

    tests/override/runner.py --library bazel-bin/libspanmalloc.so bazel-bin/tests/conformance
    tests/override/runner.py --library system --filter fork bazel-bin/tests/override

Each argument is a program, or a folder whose programs are all run. A program passes by exiting
with status 0, is skipped by exiting with 77, and prints its reason as its last line. The library
`system` means the C library's own malloc. Programs find the library under test in TEST_LIBRARY.
The last line printed is `N passed, N failed, N skipped`; $XML_OUTPUT_FILE gets a case for each.
"""

import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import time
from xml.sax.saxutils import quoteattr

SKIPPED = 77


class Outcome:
    """What one program did: verdict is PASS, FAIL or SKIP."""

    def __init__(self, name, verdict, reason, seconds):
        self.name = name
        self.verdict = verdict
        self.reason = reason
        self.seconds = seconds


def is_program(path):
    """Whether the file is an executable that is meant to be run as a program."""
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        return False
    if os.path.splitext(path)[1]:
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def find_programs(arguments, name_filter):
    """Returns the programs named by the arguments, folders expanded, in a stable order."""
    programs = []
    for argument in arguments:
        if os.path.isdir(argument):
            programs += [os.path.join(argument, name) for name in sorted(os.listdir(argument))]
        elif not os.path.exists(argument):
            sys.exit(f"{argument}: no such program or folder")
        else:
            programs.append(argument)
    return [p for p in programs if is_program(p) and re.search(name_filter, os.path.basename(p))]


def find_library(name):
    """Returns the library's absolute path, or `system`."""
    if not name:
        sys.exit("name the library with --library")
    if name == "system":
        return name
    if not os.path.exists(name):
        # The loader only warns about a library it cannot preload.
        sys.exit(f"{name}: no such library")
    return os.path.abspath(name)


def environment(library, options):
    """Returns the environment of a program: the library preloaded, and its options if any."""
    env = dict(os.environ)
    for name in ("LD_PRELOAD", "TEST_LIBRARY", "SPANMALLOC_CONF", "MALLOC_CONF"):
        env.pop(name, None)
    if library != "system":
        env["LD_PRELOAD"] = env["TEST_LIBRARY"] = library
    if options:
        env["SPANMALLOC_CONF"] = options
    return env


def read_text(path):
    """Returns a file's text, without its last newline; nothing if it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def waiting_threads(group):
    """Says of each thread of a process group what it is in, for who looks for the reason."""
    lines = []
    for stat in sorted(glob.glob("/proc/[0-9]*/task/[0-9]*/stat")):
        # Behind the name, which may hold anything: state, parent, group.
        state, _, process_group = (read_text(stat).rpartition(")")[2].split() + [""] * 3)[:3]
        if process_group == str(group):
            task = os.path.dirname(stat)
            call = read_text(f"{task}/syscall")
            lines.append(f"  {task[len('/proc/'):]} {read_text(task + '/comm')}: {state} "
                         f"in {read_text(task + '/wchan')}, system call {call}")
    return lines


def run(program, env, timeout):
    """Runs one program to its end or its timeout, with its own process group."""
    name = os.path.basename(program)
    start = time.monotonic()
    process = subprocess.Popen([os.path.abspath(program)], env=env, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        status = None
        threads = waiting_threads(process.pid)
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # children a failing program left behind
        except ProcessLookupError:
            pass
    if status is None:
        output, _ = process.communicate()
    lines = output.decode("utf-8", "replace").strip().splitlines()
    last = lines[-1] if lines else ""
    seconds = time.monotonic() - start
    if status is None:
        reason = [f"still running after {timeout} s"] + lines[-3:] + threads[:40]
        return Outcome(name, "FAIL", "\n".join(reason), seconds)
    if status == 0:
        return Outcome(name, "PASS", "", seconds)
    if status == SKIPPED:
        return Outcome(name, "SKIP", last, seconds)
    if status < 0:
        reason = f"died of {signal.Signals(-status).name}" + (f": {last}" if last else "")
        return Outcome(name, "FAIL", reason, seconds)
    return Outcome(name, "FAIL", last or f"exit status {status}", seconds)


def write_xml(path, suite, outcomes):
    """Writes the outcomes as a JUnit file, each program as a case."""
    failures = sum(o.verdict == "FAIL" for o in outcomes)
    skipped = sum(o.verdict == "SKIP" for o in outcomes)
    with open(path, "w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(f'<testsuites><testsuite name={quoteattr(suite)} tests="{len(outcomes)}" '
                   f'failures="{failures}" skipped="{skipped}">\n')
        for outcome in outcomes:
            file.write(f'<testcase classname={quoteattr(suite)} name={quoteattr(outcome.name)} '
                       f'time="{outcome.seconds:.3f}">')
            if outcome.verdict == "FAIL":
                file.write(f"<failure message={quoteattr(outcome.reason)}/>")
            elif outcome.verdict == "SKIP":
                file.write(f"<skipped message={quoteattr(outcome.reason)}/>")
            file.write("</testcase>\n")
        file.write("</testsuite></testsuites>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default=os.environ.get("SPANMALLOC_SO"),
                        help="the library, or `system`; $SPANMALLOC_SO if not given")
    parser.add_argument("--filter", default="", help="run the programs whose name matches")
    parser.add_argument("--options", default="", help="value of SPANMALLOC_CONF")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for each program")
    parser.add_argument("--suite", default="programs", help="name of the suite in the XML file")
    parser.add_argument("programs", nargs="+", help="programs, or folders of programs")
    args = parser.parse_args()
    library = find_library(args.library)
    programs = find_programs(args.programs, args.filter)
    if not programs:
        sys.exit("no program to run")
    env = environment(library, args.options)
    outcomes = []
    for program in programs:
        outcome = run(program, env, args.timeout)
        outcomes.append(outcome)
        reason = f"  {outcome.reason}" if outcome.reason else ""
        print(f"{outcome.verdict} {outcome.name} ({outcome.seconds:.2f} s){reason}", flush=True)
    if "XML_OUTPUT_FILE" in os.environ:
        write_xml(os.environ["XML_OUTPUT_FILE"], args.suite, outcomes)
    count = {verdict: sum(o.verdict == verdict for o in outcomes)
             for verdict in ("PASS", "FAIL", "SKIP")}
    print(f"{count['PASS']} passed, {count['FAIL']} failed, {count['SKIP']} skipped")
    return 1 if count["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
