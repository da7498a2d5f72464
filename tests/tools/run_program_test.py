# SPDX-License-Identifier: Apache-2.0
"""Tests `tools/run PROGRAM ARGS...` from outside: the program must not notice how it was started.

libm stands in for the library: what is tested is how it gets preloaded, not what it does.
"""

import ctypes.util
import glob
import os
import signal
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN = os.path.join(ROOT, "tools", "run")
LIBRARY = glob.glob(f"/lib/*/{ctypes.util.find_library('m')}")[0]


def run(*words, **options):
    """Runs tools/run with the words, and collects what it prints as bytes."""
    command = [RUN, "--library", LIBRARY, *words]
    return subprocess.run(command, capture_output=True, check=False, **options)


class ExitTest(unittest.TestCase):
    def test_exit_status(self):
        for status in (0, 1, 7, 125, 255):
            self.assertEqual(run("sh", "-c", f"exit {status}").returncode, status)

    def test_end_by_a_signal(self):
        for name in ("TERM", "KILL", "SEGV", "PIPE"):
            result = run("sh", "-c", f"ulimit -c 0; kill -{name} $$")
            self.assertEqual(result.returncode, -signal.Signals[f"SIG{name}"])

    def test_signal_sent_from_outside(self):
        script = "trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.01; done"
        command = [RUN, "--library", LIBRARY, "sh", "-c", script]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.send_signal(signal.SIGUSR1)
            self.assertEqual(process.stdout.read(), b"caught\n")
        self.assertEqual(process.returncode, 3)

    def test_is_the_same_process(self):
        command = [RUN, "--library", LIBRARY, "sh", "-c", "echo $$"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            self.assertEqual(int(process.stdout.read()), process.pid)


class TransparencyTest(unittest.TestCase):
    def test_library_is_mapped_and_ahead_of_others(self):
        other = glob.glob("/lib/*/libdl.so.2")[0]
        result = run("sh", "-c", "echo $LD_PRELOAD; cat /proc/$$/maps")
        self.assertEqual(result.stdout.splitlines()[0].decode(), LIBRARY)
        self.assertIn(os.path.realpath(LIBRARY).encode(), result.stdout)
        result = run("printenv", "LD_PRELOAD", env=dict(os.environ, LD_PRELOAD=other))
        self.assertEqual(result.stdout.decode(), f"{LIBRARY}:{other}\n")

    def test_ignored_signals(self):
        status = ["grep", "SigIgn", "/proc/self/status"]
        for ignored in ((), (signal.SIGPIPE,), (signal.SIGXFSZ, signal.SIGHUP)):
            def ignore(ignored=ignored):
                for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP):
                    action = signal.SIG_IGN if number in ignored else signal.SIG_DFL
                    signal.signal(number, action)
            options = {"preexec_fn": ignore, "restore_signals": False}
            direct = subprocess.run(status, capture_output=True, check=True, **options)
            self.assertEqual(run(*status, **options).stdout, direct.stdout, ignored)

    def test_environment_without_a_locale(self):
        result = run("env", env={"PATH": os.environ["PATH"], "BYTES": b"\xff"})
        names = {line.split(b"=")[0] for line in result.stdout.splitlines()}
        self.assertLessEqual(names, {b"PATH", b"BYTES", b"LD_PRELOAD", b"PWD", b"SHLVL", b"_"})
        self.assertIn(b"BYTES=\xff\n", result.stdout)

    def test_arguments_are_the_program_s(self):
        words = ["--quick", "--", "--json", "a b", "", b"\xff"]
        result = run("printf", "[%s]", *words)
        self.assertEqual(result.stdout, b"[--quick][--][--json][a b][][\xff]")
        self.assertEqual(run("--", "echo", "--", "x").stdout, b"-- x\n")

    def test_streams(self):
        result = run("sh", "-c", "cat; echo error >&2", input=b"input")
        self.assertEqual((result.stdout, result.stderr), (b"input", b"error\n"))


class RefusalTest(unittest.TestCase):
    def assert_one_line(self, result, status, words):
        self.assertEqual(result.returncode, status, result.stderr)
        lines = result.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("tools/run: "), lines)
        self.assertIn(words, lines[0])
        self.assertEqual(result.stdout, b"")

    def test_program(self):
        self.assert_one_line(run("no-such-program"), 127, "not found")
        self.assert_one_line(run("/no/such/program"), 127, "no such file")
        self.assert_one_line(run("/etc/passwd"), 126, "not executable")
        self.assert_one_line(run("/"), 126, "is a directory")

    @unittest.skipUnless(os.path.exists("/sbin/ldconfig"), "ldconfig is the static program")
    def test_static_program(self):
        self.assert_one_line(run("/sbin/ldconfig", "-p"), 126, "statically linked")

    def test_options(self):
        self.assert_one_line(run("--no-such-option"), 125, "--no-such-option")
        for words in (["--quick"], ["--rounds", "0"], ["--full-stats"], ["--json", "file"]):
            self.assert_one_line(run(*words, "true"), 125, "PROGRAM")
        self.assert_one_line(run("--library", "/etc/passwd", "true"), 125, "no ELF")
        self.assert_one_line(run("--library", "/no/such.so", "true"), 125, "/no/such.so")

    def test_help_names_every_option(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        options = "--build --library --quick --rounds --allocators --json --full-stats PROGRAM"
        for option in options.split():
            self.assertIn(option.encode(), result.stdout)


if __name__ == "__main__":
    unittest.main()
