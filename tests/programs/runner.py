#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs real programs under the library and compares them with their runs on another allocator.

    SPANMALLOC_LIBRARY=bazel-bin/libspanmalloc.so tests/programs/runner.py [program...]
    tests/programs/runner.py --library bazel-bin/libspanmalloc.so sqlite redis

A program is the x of a test_x.py beside this file; none named means all of them. Each sh_test of
the BUILD file calls this once. With $XML_OUTPUT_FILE set the cases are written there as JUnit XML.
"""

import argparse
import contextlib
import importlib
import os
import pathlib
import signal
import sys
import unittest

# Not resolved: under Bazel this script is a link beside the files that its target declares.
HERE = pathlib.Path(__file__).absolute().parent
sys.dont_write_bytecode = True
sys.path[0] = str(HERE)


def all_programs():
    return sorted(path.stem.removeprefix("test_") for path in HERE.glob("test_*.py"))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", help="the library to preload (else $SPANMALLOC_LIBRARY)")
    parser.add_argument("programs", nargs="*", metavar="program", help=" ".join(all_programs()))
    arguments = parser.parse_args()
    unknown = set(arguments.programs) - set(all_programs())
    if unknown:
        parser.error(f"unknown program: {' '.join(sorted(unknown))}")
    arguments.library = arguments.library or os.environ.get("SPANMALLOC_LIBRARY")
    if not arguments.library or not os.path.isfile(arguments.library):
        parser.error(f"no library to preload: {arguments.library}")
    return arguments


def run_suite(suite):
    """Runs `suite`, writing JUnit XML as well where Bazel asks for it."""
    xml_file = os.environ.get("XML_OUTPUT_FILE")
    if not xml_file:
        return unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    import xmlrunner  # needed only under Bazel

    with open(xml_file, "wb") as output:
        return xmlrunner.XMLTestRunner(output=output, stream=sys.stdout, verbosity=2).run(suite)


def print_measurements(rows):
    width = max((len(row[0]) for row in rows), default=0)
    for test, run, seconds, mebibytes in rows:
        print(f"{test:<{width}}  {run:<8} {seconds:6.1f} s {mebibytes:8.1f} MiB")


def main():
    arguments = parse_arguments()
    os.environ["SPANMALLOC_LIBRARY"] = os.path.realpath(arguments.library)
    # A timeout's SIGTERM must end the servers too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = [f"test_{program}" for program in arguments.programs or all_programs()]
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(line_buffering=True)
    result = run_suite(unittest.defaultTestLoader.loadTestsFromNames(names))
    print_measurements(importlib.import_module("support").measurements)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    print(f"{passed} passed, {failed} failed")
    return 0 if result.testsRun and result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
