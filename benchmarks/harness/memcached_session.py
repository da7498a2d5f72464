# SPDX-License-Identifier: Apache-2.0
"""Runs memcached under measure while a client of our own loads it.

CPU time and memory are the server's; the wall time is that of the load. The client checks that
every answer comes back.
"""

import os
import pwd
import random
import socket
import time

_START_TIMEOUT_S = 20
_CONNECTIONS = 8
_KEYS = 20_000
_COMMANDS = 250  # Of one connection in one round.
_END = b"MN\r\n"  # The answer to "mn", which ends each round.


class Session:
    """What runner.py calls for the row."""

    def __init__(self, scratch, rounds):
        self._path = os.path.join(scratch, "memcached")
        self._rounds = [_requests(random.Random(number)) for number in range(rounds)]

    def run(self, measured, timeout_s):
        """Starts the server, loads it, stops it.

        Args:
          measured: function of a list of arguments that starts the server under measure with them
            and returns its Popen object.
          timeout_s: how long one answer may take.

        Returns:
          The wall time of the load in seconds.
        """
        if os.path.exists(self._path):
            os.remove(self._path)
        server = measured([
            "-s", self._path, "-t", "2", "-m", "64", "-A",
            "-u", pwd.getpwuid(os.geteuid()).pw_name,
        ])
        connections = [self._connect(server, timeout_s)]
        try:
            connections += [self._connect(server, timeout_s) for _ in range(_CONNECTIONS - 1)]
            start = time.monotonic()
            for requests in self._rounds:
                for connection, (request, _) in zip(connections, requests):
                    connection.sendall(request)
                for connection, (_, gets) in zip(connections, requests):
                    _read_answers(connection, gets)
            return time.monotonic() - start
        finally:
            connections[0].sendall(b"shutdown\r\n")  # -A allows it.
            for connection in connections:
                connection.close()

    def _connect(self, server, timeout_s):
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(timeout_s)
            try:
                connection.connect(self._path)
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("memcached did not start") from None
                time.sleep(0.02)


def _requests(generator):
    """For each connection the bytes to send in one round, and how many of the commands are get."""
    requests = []
    for _ in range(_CONNECTIONS):
        parts, gets = [], 0
        for _ in range(_COMMANDS):
            key = b"key:%d" % generator.randrange(_KEYS)
            if generator.random() < 0.5:
                size = generator.randrange(1, 16 << generator.randrange(10))
                parts.append(b"set %s 0 0 %d noreply\r\n%s\r\n" % (key, size, b"x" * size))
            else:
                parts.append(b"get %s\r\n" % key)
                gets += 1
        parts.append(b"mn\r\n")
        requests.append((b"".join(parts), gets))
    return requests


def _read_answers(connection, gets):
    """Reads the answers of a round and raises RuntimeError unless each get was answered."""
    answers = []
    last = b""
    while not last.endswith(_END):
        received = connection.recv(1 << 20)
        if not received:
            raise RuntimeError("memcached closed a connection")
        answers.append(received)
        last = last[-len(_END):] + received
    answered = b"".join(answers).count(b"END\r\n")
    if answered != gets:
        raise RuntimeError(f"memcached answered {answered} of {gets} commands")
