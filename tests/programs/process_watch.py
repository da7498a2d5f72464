# SPDX-License-Identifier: Apache-2.0
"""Looks at the processes of one session: who has a library mapped, how big they grow.

support.py starts one ProcessWatch per program it runs. A preloaded library that the loader could
not map would make every comparison pass, so each test asks `mapped` for its program's name.
The watch runs in a thread of its own; its results may be read once stop() has returned.
"""

import collections
import itertools
import os
import threading

# Short programs end soon after their start: look often at first, then rarely, at no cost.
_FIRST_LOOKS = 100
_FIRST_INTERVAL_SECONDS = 0.005
_INTERVAL_SECONDS = 0.03

# A program that has not mapped the library after this many looks never will.
_MAPS_LOOKS = 20


class ProcessWatch:
    """Samples /proc for every process of the session `session_id`.

    mapped:   names of executables seen with `library` mapped.
    peak_kib: the largest resident size that one of the processes was seen to reach.
    """

    def __init__(self, session_id, library):
        self.mapped = set()
        self.peak_kib = 0
        self._session_id = session_id
        self._library = library
        self._strangers = set()  # processes of other sessions: no need to look at them twice
        self._maps_looks = collections.Counter()  # of each (pid, executable)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self):
        self._stopped.set()
        self._thread.join()

    def _watch(self):
        for look in itertools.count():
            for pid in self._members():
                try:
                    self._sample(pid)
                except OSError:
                    pass  # the process ended between two reads
            if self._stopped.wait(
                _FIRST_INTERVAL_SECONDS if look < _FIRST_LOOKS else _INTERVAL_SECONDS
            ):
                return

    def _members(self):
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._strangers &= pids
        members = []
        for pid in pids - self._strangers:
            try:
                if os.getsid(pid) == self._session_id:
                    members.append(pid)
                else:
                    self._strangers.add(pid)
            except OSError:
                pass
        return members

    def _sample(self, pid):
        executable = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    self.peak_kib = max(self.peak_kib, int(line.split()[1]))
        if self._maps_looks[pid, executable] < _MAPS_LOOKS:
            self._maps_looks[pid, executable] += 1
            if is_mapped(pid, self._library):
                self._maps_looks[pid, executable] = _MAPS_LOOKS
                self.mapped.add(executable)


def is_mapped(pid, library):
    """Says whether process `pid` has the file `library` (a real path) mapped."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        return any(line.rstrip("\n").endswith(" " + library) for line in maps)
