# SPDX-License-Identifier: Apache-2.0
"""Runs redis-server under measure while redis-benchmark loads it.

CPU time and memory are the server's; the wall time is that of the load. The client always runs
with the system's allocator.
"""

import socket
import subprocess
import time

_START_TIMEOUT_S = 20
_CLIENT_TIMEOUT_S = 20


def free_port():
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def client(port, *command):
    """What redis-cli prints for a command."""
    return subprocess.run(["/usr/bin/redis-cli", "-p", port, *command], capture_output=True,
                          text=True, check=False, timeout=_CLIENT_TIMEOUT_S).stdout.strip()


def wait_until_up(server, port):
    """Returns once the server answers; RuntimeError if it doesn't."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while client(port, "ping") != "PONG":
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("redis-server did not start")
        time.sleep(0.02)


class Session:
    """What runner.py calls for the row."""

    def __init__(self, scratch, requests):
        self._scratch = scratch
        self._requests = requests

    def run(self, measured, timeout_s):
        """Starts the server, loads it, stops it.

        Args:
          measured: function of a list of arguments that starts the server under measure with them
            and returns its Popen object.
          timeout_s: how long the load may take.

        Returns:
          The wall time of the load in seconds.
        """
        port = str(free_port())
        server = measured([
            "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", self._scratch, "--loglevel", "warning",
        ])
        try:
            wait_until_up(server, port)
            start = time.monotonic()
            self._load(port, timeout_s)
            return time.monotonic() - start
        finally:
            client(port, "shutdown", "nosave")

    def _load(self, port, timeout_s):
        """Strings, lists, sets, hashes and sorted sets with random keys."""
        subprocess.run(
            ["/usr/bin/redis-benchmark", "-p", port, "-q", "-c", "20", "-P", "16",
             "-n", str(self._requests), "-r", "100000", "-d", "120",
             "-t", "set,get,incr,lpush,lpop,sadd,hset,zadd"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=timeout_s)
