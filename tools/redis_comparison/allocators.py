# SPDX-License-Identifier: Apache-2.0
"""The allocators a redis-server is compared on, and the proof that a server uses the one meant.

Called by comparison.py. Debian's redis-server links libjemalloc, so every allocator, glibc's too,
is put in front of it by LD_PRELOAD; whatever the preloaded file does not define still comes from
libjemalloc. Which of the two serves malloc shows in INFO memory: allocator_allocated is what
mallctl("stats.allocated") says, used_memory is what redis has asked for.
"""

import dataclasses
import os

_LIBRARY_FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]


class WrongAllocator(Exception):
    """A server does not run on the allocator it was started with."""


@dataclasses.dataclass(frozen=True)
class Allocator:
    """One row of the comparison."""

    name: str
    library: str  # the file to preload
    # True: mallctl must count what redis uses; False: libjemalloc answers mallctl and must count
    # next to nothing; None: either.
    answers_mallctl: bool | None


def peers():
    """Returns the allocators Debian packages, the baseline (glibc) first."""
    return [
        Allocator("glibc", _find("libc.so.6"), False),
        Allocator("jemalloc", _find("libjemalloc.so.2"), True),
        Allocator("mimalloc", _find("libmimalloc.so.2.0"), False),
        Allocator("tcmalloc", _find("libtcmalloc_minimal.so.4"), False),
    ]


def own(library):
    """Returns the allocator of our library, or of the one given in its place (--library)."""
    name = os.path.basename(library)
    if name == "libspanmalloc.so":
        name = "spanmalloc"
    return Allocator(name, library, None)


def check(allocator, server):
    """Raises WrongAllocator unless the loaded server runs on the allocator."""
    with open(f"/proc/{server.pid}/maps", encoding="utf-8") as maps:
        mapped = {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if "/" in line}
    if os.path.realpath(allocator.library) not in mapped:
        raise WrongAllocator(f"{allocator.name}: the server has not mapped {allocator.library}")
    answered = mallctl_counts_redis(server.info("memory"))
    if allocator.answers_mallctl is not None and answered != allocator.answers_mallctl:
        raise WrongAllocator(
            f"the server of {allocator.name} "
            + ("is served by the linked jemalloc" if answered else "is not served by its library")
        )


def mallctl_counts_redis(info_memory):
    """True if the allocator behind mallctl is the one that serves the (loaded) server's malloc."""
    return int(info_memory["allocator_allocated"]) > int(info_memory["used_memory"]) // 2


def _find(name):
    for folder in _LIBRARY_FOLDERS:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    raise WrongAllocator(f"{name} is not installed")
