# SPDX-License-Identifier: Apache-2.0
"""Clients of a memcached for test_memcached.py and test_yrmcds.py; every answer is checked."""

import hashlib
import random
import socket
import threading

CONNECTIONS = 8
ROUNDS = 4000

# An answer that takes as long never comes.
HANG_SECONDS = 200


class Client:
    """One connection speaking the text protocol, with a model of what its keys must hold."""

    def __init__(self, port, number):
        self._port = port
        self._connect()
        self._rng = random.Random(number)
        self._prefix = f"c{number}-"
        self._model = {}
        self._transcript = hashlib.sha256()
        self.error = None

    def work(self):
        try:
            for _ in range(ROUNDS):
                self._step()
            for key in sorted(self._model):
                self._check(key)
        except Exception as error:  # reported by the test, which joins the thread
            self.error = error

    def _connect(self):
        self._socket = socket.create_connection(("127.0.0.1", self._port), HANG_SECONDS)
        self._reader = self._socket.makefile("rb")

    def close(self):
        self._reader.close()
        self._socket.close()

    def digest(self):
        return self._transcript.hexdigest()

    def _step(self):
        key = f"{self._prefix}{self._rng.randrange(400)}"
        action = self._rng.randrange(10)
        if action < 4:
            size = self._rng.choice((10, 100, 1000, 5000, 30000))
            value = self._rng.randbytes(self._rng.randrange(1, size))
            self._expect(self._store("set", key, value), b"STORED\r\n")
            self._model[key] = value
        elif action == 4 and len(self._model.get(key, b"")) < 60000:
            known = key in self._model
            answer = self._store("append", key, b"tail" * 50)
            self._expect(answer, b"STORED\r\n" if known else b"NOT_STORED\r\n")
            if known:
                self._model[key] += b"tail" * 50
        elif action == 5:
            known = self._model.pop(key, None) is not None
            answer = self._ask(f"delete {key}\r\n".encode())
            self._expect(answer, b"DELETED\r\n" if known else b"NOT_FOUND\r\n")
        else:
            self._check(key)

    def _store(self, verb, key, value):
        return self._ask(f"{verb} {key} 0 0 {len(value)}\r\n".encode() + value + b"\r\n")

    def _check(self, key):
        header = self._ask(f"get {key}\r\n".encode())
        if key not in self._model:
            self._expect(header, b"END\r\n")
            return
        value = self._model[key]
        self._expect(header, f"VALUE {key} 0 {len(value)}\r\n".encode())
        self._expect(self._reader.read(len(value) + 7), value + b"\r\nEND\r\n")

    def _ask(self, request):
        self._socket.sendall(request)
        return self._reader.readline()

    def _expect(self, answer, expected):
        if answer != expected:
            raise AssertionError(f"expected {expected[:80]!r}, memcached said {answer[:80]!r}")
        self._transcript.update(answer)


def run_clients(test, port, kind=Client):
    """Lets several clients work at once; returns a digest of what each was answered."""
    clients = [kind(port, number) for number in range(CONNECTIONS)]
    threads = [threading.Thread(target=client.work) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    test.assertEqual([client.error for client in clients if client.error], [])
    return [client.digest() for client in clients]
