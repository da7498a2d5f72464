# SPDX-License-Identifier: Apache-2.0
"""A small redis client for test_redis.py: pipelines of commands over one loopback connection."""

import socket


class RedisClient:
    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._reader = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._reader.close()
        self._socket.close()

    def command(self, *words):
        return self.pipeline([words])[0]

    def pipeline(self, commands):
        """Sends all commands at once and returns their replies; an error reply is raised."""
        self._socket.sendall(b"".join(map(_encode, commands)))
        return [self._reply() for _ in commands]

    def send(self, *words):
        """Sends a command that the server does not answer, as SHUTDOWN."""
        self._socket.sendall(_encode(words))
        return self._reader.read()

    def info(self):
        """INFO as a dictionary of strings."""
        lines = self.command("INFO", "everything").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _reply(self):
        line = self._reader.readline()
        kind, text = line[:1], line[1:-2]
        if kind == b"-" or not line:
            raise RuntimeError(f"redis: {text.decode() or 'connection closed'}")
        if kind == b"$":
            return None if text == b"-1" else self._reader.read(int(text) + 2)[:-2]
        if kind == b"*":
            return [self._reply() for _ in range(int(text))]
        return int(text) if kind == b":" else text


def _encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
