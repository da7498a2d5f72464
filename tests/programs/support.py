# SPDX-License-Identifier: Apache-2.0
"""What the program tests share: run a program under another allocator and under the library, and
compare.

A test derives from ProgramTest, names its `programs` (the executables that must have been seen
with the library mapped) and passes a workload to same_under_both(). The workload is called twice,
each time with a Session, in a fresh directory of the same path, and returns whatever must be equal.

The library is preloaded, and the other run is on glibc's malloc; or, in a LinkedProgramTest, the
library takes the place of the one that the program was linked with, and the other run is on that.
"""

import contextlib
import glob
import hashlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from process_watch import ProcessWatch

# A hang is a failure. No correct run comes near this limit.
HANG_SECONDS = 300

# One row per workload that ended: test, run, seconds, MiB of its largest process. runner.py prints
# them; nothing is judged by them.
measurements = []

# What the library, or the loader when it cannot preload it, would print.
_FORBIDDEN_PREFIXES = ("spanmalloc:", "ERROR: ld.so:")


def library():
    """The real path of the library under test."""
    path = os.environ.get("SPANMALLOC_LIBRARY")
    if not path:
        raise RuntimeError("set SPANMALLOC_LIBRARY or pass --library to runner.py")
    return os.path.realpath(path)


def system_library(soname):
    """The real path of the library of this name that Debian installs."""
    paths = glob.glob(f"/usr/lib/*-linux-gnu/{soname}")
    if not paths:
        raise RuntimeError(f"no {soname}; see tests/programs/packages.txt")
    return os.path.realpath(paths[0])


def system_libc():
    """The real path of the C library that this interpreter itself runs on."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return next(line.split()[-1] for line in maps if line.rstrip().endswith("/libc.so.6"))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path):
    return sha256(pathlib.Path(path).read_bytes())


def free_port():
    """A port that nobody listens on now, of those that the kernel never gives to connections."""
    for port in random.sample(range(10_000, 32_000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no port is free")


def resident_bytes(process):
    """The kernel's account of a process."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def wait_until_asleep(process):
    """Waits until all threads of a process have been seen asleep, a few times in a row."""
    deadline = time.monotonic() + HANG_SECONDS
    looks = 0
    while looks < 10 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        states = set()
        for stat in pathlib.Path(f"/proc/{process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # the thread ended
                states.add(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0])
        looks = looks + 1 if states == {"S"} else 0


def forbidden_lines(stderr):
    """The lines of `stderr` that no run may have."""
    return [line for line in stderr.splitlines() if line.startswith(_FORBIDDEN_PREFIXES)]


class Session:
    """The processes of one workload: how to start them, and what was seen of them.

    variables:  those of the environment by which they get their allocator.
    watched:    the library that they are expected to have mapped, or not to have.
    displaced:  the library that must not be mapped where the other one is.
    """

    def __init__(self, test, name, directory, variables, watched, displaced=None):
        self.name = name
        self.directory = directory
        self.mapped = set()
        self.displaced_mapped = set()
        self.peak_kib = 0
        self._test = test
        self._variables = variables
        self._watched = watched
        self._displaced = displaced

    def environment(self, **extra):
        """A small environment, the same in every run but for the preloaded library."""
        variables = {
            "HOME": str(self.directory),
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "TMPDIR": str(self.directory),
            "TZ": "UTC",
        }
        if "SPANMALLOC_CONF" in os.environ:
            variables["SPANMALLOC_CONF"] = os.environ["SPANMALLOC_CONF"]
        variables.update(self._variables)
        variables.update(extra)
        return variables

    def run(self, argv, stdin=None, status=0, **extra_environment):
        """Runs a program to its end; checks its exit status and stderr; returns its stdout."""
        argv = [str(word) for word in argv]
        with self._started(argv, subprocess.PIPE, subprocess.PIPE, stdin, extra_environment) as (
            process
        ):
            try:
                stdout, stderr = process.communicate(stdin, timeout=HANG_SECONDS)
            except subprocess.TimeoutExpired:
                self._test.fail(f"{self.name}: {argv[0]} still runs after {HANG_SECONDS} s")
        text = stderr.decode("utf-8", "replace")
        self._test.assertEqual(
            process.returncode,
            status,
            f"{self.name}: {' '.join(argv[:4])}\n{text[-2000:]}\n{stdout[-2000:]!r}",
        )
        self._test.assertEqual(forbidden_lines(text), [], f"{self.name}: {argv[0]}")
        return stdout

    @contextlib.contextmanager
    def server(self, argv, port, status=0, **extra_environment):
        """Runs a server that listens on `port`, for the length of a with block.

        The block may end the server itself; otherwise SIGTERM does. Either way the server must
        exit with that status and print no report.
        """
        argv = [str(word) for word in argv]
        log = self.directory / f"{os.path.basename(argv[0])}.{port}.log"
        with open(log, "wb") as output:
            with self._started(argv, output, output, None, extra_environment) as process:
                self._wait_until_listening(process, port, log)
                yield process
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                process.wait(HANG_SECONDS)
        text = log.read_text("utf-8", "replace")
        complaint = f"{self.name}: {argv[0]}\n{text[-2000:]}"
        self._test.assertEqual(process.returncode, status, complaint)
        self._test.assertEqual(forbidden_lines(text), [], f"{self.name}: {argv[0]}")

    def _wait_until_listening(self, process, port, log):
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.01)
        self._test.fail(f"{self.name}: no server on port {port}\n{log.read_text()[-2000:]}")

    @contextlib.contextmanager
    def _started(self, argv, stdout, stderr, stdin, extra_environment):
        """A process in a session of its own, watched; the whole session is killed at the end."""
        environment = self.environment(**extra_environment)
        executable = shutil.which(argv[0], path=environment["PATH"])
        if executable is None:
            self._test.fail(f"{argv[0]} is missing; see tests/programs/packages.txt")
        process = subprocess.Popen(
            argv,
            executable=executable,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        watch = ProcessWatch(process.pid, self._watched)
        displaced = ProcessWatch(process.pid, self._displaced) if self._displaced else None
        try:
            yield process
        finally:
            watch.stop()
            self.mapped |= watch.mapped
            if displaced:
                displaced.stop()
                self.displaced_mapped |= displaced.mapped
            self.peak_kib = max(self.peak_kib, watch.peak_kib)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()


class ProgramTest(unittest.TestCase):
    """Base of every program's test."""

    # Names of the executables that must run with the library mapped.
    programs = ()
    # A library to preload into the run without ours, for a program linked to another allocator.
    baseline_preload = None
    maxDiff = 4000

    def same_under_both(self, workload):
        """Runs `workload` without and with the library; its two results must be equal."""
        with tempfile.TemporaryDirectory(
            prefix="programs-", dir=os.environ.get("TEST_TMPDIR"), ignore_cleanup_errors=True
        ) as scratch:
            directory = pathlib.Path(scratch) / "work"
            expected = self._run_without(workload, directory)
            actual = self._run_with(workload, directory)
        self.assertEqual(actual, expected, "the program's output differs from its other run")
        return actual

    def _run_without(self, workload, directory):
        preload = {"LD_PRELOAD": self.baseline_preload} if self.baseline_preload else {}
        session = Session(self, "glibc", directory, preload, library())
        result = self._run_workload(workload, session)
        if not preload:
            self.assertEqual(session.mapped, set(), "the library was mapped without preload")
        return result

    def _run_with(self, workload, directory):
        session = Session(self, "preload", directory, {"LD_PRELOAD": library()}, library())
        result = self._run_workload(workload, session)
        self.check_mapped(session, library())
        return result

    def check_mapped(self, session, path):
        missing = set(self.programs) - session.mapped
        self.assertEqual(missing, set(), f"{path} was not mapped in these programs")

    def _run_workload(self, workload, session):
        session.directory.mkdir()
        started = time.monotonic()
        result = workload(session)
        seconds = time.monotonic() - started
        measurements.append((self.id(), session.name, seconds, session.peak_kib / 1024))
        shutil.rmtree(session.directory)
        return result


class LinkedProgramTest(ProgramTest):
    """Base of the tests of programs that were linked with another allocator's shared library."""

    # The name under which they ask for it.
    soname = "libjemalloc.so.2"

    def _run_without(self, workload, directory):
        displaced = system_library(self.soname)
        session = Session(self, "linked", directory, {}, displaced)
        result = self._run_workload(workload, session)
        self.check_mapped(session, displaced)
        return result

    def _run_with(self, workload, directory):
        # The library of that name lies beside the one that is preloaded.
        replacement = pathlib.Path(library()).parent / self.soname
        if not replacement.exists():
            self.fail(f"no {replacement}: bazel build //:{self.soname}")
        folder = directory.parent / "libraries"
        folder.mkdir()
        (folder / self.soname).symlink_to(replacement)
        session = Session(
            self,
            "replaced",
            directory,
            {"LD_LIBRARY_PATH": str(folder)},
            os.path.realpath(replacement),
            system_library(self.soname),
        )
        result = self._run_workload(workload, session)
        self.check_mapped(session, replacement)
        self.assertEqual(session.displaced_mapped, set(), f"{self.soname} was not replaced")
        return result
