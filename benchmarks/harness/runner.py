# SPDX-License-Identifier: Apache-2.0
"""Measures rows under libraries: all libraries of a row one after the other, round by round.

The order of the libraries rotates from round to round, so that none always runs first. Called by
benchmark.py.
"""

import hashlib
import json
import os
import random
import re
import signal
import subprocess

from samples import Sample


class RunError(Exception):
    """A run that failed or printed something else than the other libraries' runs."""


class HangError(RunError):
    """A run that did not end."""


class Runner:
    """Runs one row under one library at a time and remembers what each row printed."""

    def __init__(self, measure, scratch, timeout_s):
        self._measure = measure
        self._scratch = scratch
        self._timeout_s = timeout_s
        self.timeline = []  # Of the last run: what it printed as `timeline <ms> <live> <resident>`.
        self._outputs = {}  # Row name -> hash of its output and the library that printed it.

    def run(self, row, library, round_number):
        """One run; returns its Sample or raises RunError."""
        report_path = os.path.join(self._scratch, "report.json")
        output_path = os.path.join(self._scratch, "output")
        errors_path = os.path.join(self._scratch, "errors")
        for path in (report_path, output_path, errors_path):
            if os.path.exists(path):
                os.remove(path)
        wall_s = self._execute(row, library, report_path, output_path, errors_path)
        with open(errors_path, encoding="utf-8", errors="replace") as file:
            errors = file.read()
        self.timeline = _timeline(errors)
        report = self._read_report(row, library, report_path, errors)
        return Sample(
            row=row.name,
            group=row.group,
            library=library.name,
            round=round_number,
            wall_s=report["wall_s"] if wall_s is None else round(wall_s, 6),
            user_s=report["user_s"],
            system_s=report["system_s"],
            max_rss_kib=report["max_rss_kib"],
            minor_faults=report["minor_faults"],
            major_faults=report["major_faults"],
            output_sha256=self._check_output(row, library, output_path),
            metrics=_metrics(errors),
        )

    def _execute(self, row, library, report_path, output_path, errors_path):
        """Runs the command under measure; returns the session's wall time if the row has one."""
        preload = library.preload(row.executable)
        environment = {**os.environ, "LC_ALL": "C", **dict(row.environment),
                       **dict(library.environment)}
        with open(row.stdin, "rb") as stdin, open(output_path, "wb") as stdout, \
                open(errors_path, "wb") as stderr:

            def start(arguments=()):
                # A session of its own, so that a timeout can end the command and its children.
                return subprocess.Popen(
                    [self._measure, report_path, preload, *row.command, *arguments],
                    stdin=stdin, stdout=stdout, stderr=stderr, env=environment,
                    start_new_session=True)

            if row.session is None:
                self._wait(row, library, start())
                return None
            started = []

            def start_session(arguments):
                started.append(start(arguments))
                return started[0]

            try:
                return row.session.run(start_session, self._timeout_s)
            except (TimeoutError, subprocess.TimeoutExpired) as error:
                raise HangError(f"{row.name} under {library.name}: {error}") from error
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                raise RunError(f"{row.name} under {library.name}: {error}") from error
            finally:
                for process in started:
                    self._wait(row, library, process)

    def _wait(self, row, library, process):
        try:
            process.wait(self._timeout_s)
        except subprocess.TimeoutExpired as error:
            raise HangError(f"{row.name} under {library.name}: no end after "
                            f"{self._timeout_s:g} s") from error
        finally:
            # Also on Ctrl-C: nothing that was started stays behind.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @staticmethod
    def _read_report(row, library, report_path, errors):
        if not os.path.exists(report_path):
            raise RunError(f"{row.name} under {library.name}: {_last_line(errors)}")
        with open(report_path, encoding="utf-8") as file:
            report = json.load(file)
        if report["exit_code"] != 0:
            end = f"signal {report['signal']}" if report["signal"] else f"{report['exit_code']}"
            raise RunError(f"{row.name} under {library.name} ended with {end}: "
                           f"{_last_line(errors)}")
        return report

    def _check_output(self, row, library, output_path):
        """The hash of the output, which must be the same under every library.

        The log of a session (a server) is not a result and is not compared.
        """
        if row.session is not None or not row.compared:
            return ""
        with open(output_path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        expected, first = self._outputs.setdefault(row.name, (digest, library.name))
        if digest != expected:
            raise RunError(f"{row.name}: the output under {library.name} differs from the output "
                           f"under {first}")
        return digest


def _last_line(errors):
    """What a program said last, which is why it ended."""
    return errors.strip().rpartition("\n")[2]


def _metrics(errors):
    """The figures of the lines `metric <name> <value>`."""
    return {name: float(value)
            for name, value in re.findall(r"^metric (\S+) (-?[0-9.]\S*)$", errors, re.MULTILINE)}


def _timeline(errors):
    """The numbers of the lines `timeline <ms> <live> <resident>`."""
    return [tuple(map(int, numbers)) for numbers in
            re.findall(r"^timeline (\d+) (\d+) (\d+)$", errors, re.MULTILINE)]


def in_order_of(libraries, round_number, row_name):
    """The libraries in the order of a round of a row: any order, but the same in each session.

    What a library finds depends on who ran before it. On a virtual machine the one that comes after
    a heap of huge pages gets them at once, which cost its predecessor a second. So no library may
    always have the same predecessor.
    """
    return random.Random(f"{row_name} {round_number}").sample(libraries, len(libraries))
