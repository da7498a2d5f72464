# SPDX-License-Identifier: Apache-2.0
"""Finds libspanmalloc.so, building it first when it is missing; installs what tools/run needs.

Called by main.py. Everything printed on the way goes to stderr: stdout is the program's.
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

class SetupError(Exception):
    """The machine or the build isn't ready: a message of one line."""


def install_for_comparison():
    """Installs the Debian packages of the comparison that are missing."""
    _run([os.path.join(ROOT, "tools", "bootstrap.sh"), "run"], "the installation")


def build():
    """Builds the optimised library (tools/build installs what that needs); returns its path."""
    _run([os.path.join(ROOT, "tools", "build")], "the build")
    path = _built_library()
    if path is None:
        raise SetupError("the build left no optimised bazel-bin/libspanmalloc.so")
    return path


def built_or_build():
    """Returns the path of the optimised library, building only if it is missing."""
    return _built_library() or build()


def _built_library():
    """Returns the library behind bazel-bin's link, or None.

    The link follows the last build of any mode; a library that is not optimised doesn't count.
    """
    path = os.path.realpath(os.path.join(ROOT, "bazel-bin", "libspanmalloc.so"))
    return path if os.path.isfile(path) and "-opt/" in path else None


def _run(command, what):
    try:
        status = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode
    except OSError as error:
        raise SetupError(f"{what} failed: {command[0]}: {error.strerror}") from error
    if status != 0:
        raise SetupError(f"{what} failed with exit status {status}: {' '.join(command)}")
