# SPDX-License-Identifier: Apache-2.0
"""The machine the comparison ran on, and how busy others kept it meanwhile.

Called by comparison.py; the figures of a machine that others keep busy are worth little, so the
report says so.
"""

import os
import platform
import resource
import time

_TICKS = os.sysconf("SC_CLK_TCK")


def describe():
    """Returns what the figures depend on, as a dictionary."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        lines = [line.split(":", 1) for line in cpuinfo if line.startswith("model name")]
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="utf-8") as setting:
            huge_pages = setting.read().split("[")[1].split("]")[0]
    except OSError:
        huge_pages = "unavailable"
    return {
        "cpu": lines[0][1].strip() if lines else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "transparent_hugepage": huge_pages,
    }


class ForeignLoad:
    """Measures the share of the machine's CPU time that went to others' processes.

    Counts as our own: this process and the children it has waited for.
    """

    def __init__(self):
        self._start = time.monotonic()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def share(self):
        """Returns the share since the construction, 0 to 1."""
        elapsed = (time.monotonic() - self._start) * os.cpu_count()
        foreign = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        return max(0.0, foreign / elapsed)


def _busy_seconds():
    """Returns the CPU seconds since boot that were not idle, a hypervisor's steal included."""
    with open("/proc/stat", encoding="utf-8") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, interrupts, soft_interrupts, steal = fields
    return (user + nice + system + interrupts + soft_interrupts + steal) / _TICKS


def _own_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
