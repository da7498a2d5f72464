# SPDX-License-Identifier: Apache-2.0
"""One redis-server on 127.0.0.1 with an allocator preloaded, and what it says about itself.

Called by comparison.py, one server per round and allocator. The server persists nothing: its
folder is a temporary one that goes with it.
"""

import os
import socket
import subprocess
import tempfile
import time

_START_SECONDS = 20
_STOP_SECONDS = 20
_PORT_ATTEMPTS = 5


class ServerFailed(Exception):
    """The server did not start, crashed, or answered with an error: what its log says of it."""


class RedisServer:
    """A running server; use it as a context manager."""

    def __init__(self, library):
        self._library = library
        self._folder = tempfile.TemporaryDirectory(prefix="spanmalloc-redis-")
        self._log_path = os.path.join(self._folder.name, "log")
        self._process = None
        self.port = 0

    @property
    def pid(self):
        return self._process.pid

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, *_):
        status = self._process.poll()
        try:
            if status is None and kind is None:
                self._process.terminate()
                status = self._process.wait(_STOP_SECONDS)
                if status != 0:
                    raise self.failure("redis-server failed at its end")
        except subprocess.TimeoutExpired as error:
            raise self.failure("redis-server did not end") from error
        finally:
            self._end()

    def command(self, *words):
        """Sends one command through redis-cli and returns the answer's text."""
        result = subprocess.run(
            ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise self.failure(f"{' '.join(words)} failed: {result.stderr.strip()}")
        return result.stdout.rstrip("\n")

    def info(self, section):
        """Returns a section of INFO as a dictionary of strings."""
        lines = self.command("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def cpu_seconds(self):
        """Returns the CPU time of all the server's threads, user and system."""
        info = self.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def memory_kib(self, field):
        """Returns a field of /proc/PID/status: VmRSS (now) or VmHWM (the peak)."""
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
        raise self.failure(f"no {field} for process {self.pid}")

    def failure(self, what):
        """Returns a ServerFailed with what happened, how the process ended, and its last words."""
        try:
            status = self._process.wait(3)  # a crash may still be printing its report
            how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        except subprocess.TimeoutExpired:
            how = "still running"
        with open(self._log_path, encoding="utf-8", errors="replace") as log:
            lines = [line.rstrip() for line in log if line.strip()]
        reports = [line for line in lines if line.startswith("spanmalloc:")]
        last_words = "\n".join("  " + line for line in (reports or lines)[-12:])
        message = f"{what} ({how}, preloaded: {self._library})"
        return ServerFailed(f"{message}\n{last_words}" if last_words else message)

    def _start(self):
        environment = dict(os.environ, LD_PRELOAD=self._library)
        for _ in range(_PORT_ATTEMPTS):
            self.port = _free_port()
            with open(self._log_path, "wb") as log:
                self._process = subprocess.Popen(
                    self._command_line(), stdout=log, stderr=log, env=environment
                )
            if self._answers():
                return
            with open(self._log_path, encoding="utf-8", errors="replace") as log:
                if "Address already in use" not in log.read():
                    break
        raise self.failure("redis-server did not start")

    def _command_line(self):
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--dir", self._folder.name, "--save", "", "--appendonly", "no"]
        command += ["--crash-memcheck-enabled", "no"]  # a crash must be reported at once
        return command

    def _answers(self):
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(16).startswith(b"+PONG"):
                        return self._process.poll() is None
            except OSError:
                time.sleep(0.02)
        return False

    def _end(self):
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
