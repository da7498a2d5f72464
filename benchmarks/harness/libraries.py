# SPDX-License-Identifier: Apache-2.0
"""The allocator libraries that are compared, and the proof that a preload takes effect."""

import dataclasses
import hashlib
import os
import re
import subprocess

_DEBIAN = "/usr/lib/x86_64-linux-gnu"

# Compared by default if installed. None is glibc: nothing is preloaded.
DEFAULTS = {
    "glibc": None,
    "spanmalloc": "bazel-bin/libspanmalloc.so",
    "jemalloc": f"{_DEBIAN}/libjemalloc.so.2",
    "mimalloc": f"{_DEBIAN}/libmimalloc.so.2.0",
    "tcmalloc": f"{_DEBIAN}/libtcmalloc_minimal.so.4",
}

_LIBC = f"{_DEBIAN}/libc.so.6"
_CHECK_TIMEOUT_S = 30


class LibraryError(Exception):
    """A library that cannot be compared, and why."""


@dataclasses.dataclass(frozen=True)
class Library:
    """A name for the tables and the file to preload; path is None for glibc itself."""

    name: str
    path: str
    environment: tuple = ()  # What it needs besides: pairs of name and value.

    def preload(self, executable):
        """The LD_PRELOAD of a program, or "-" for none."""
        if self.path is not None:
            return self.path
        # A program linked with another allocator gets glibc's only if libc comes first.
        return _LIBC if _links_allocator(executable) else "-"

    @property
    def expected_file(self):
        """The file in which malloc must be found."""
        return os.path.realpath(self.path or _LIBC)

    def sha256(self):
        """The hash of that file."""
        with open(self.expected_file, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def version(self):
        """The Debian package and version that the file belongs to, or where it is."""
        # A package may name the file by the folder that is now a link into /usr.
        names = [self.expected_file, self.expected_file.removeprefix("/usr")]
        owner = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True,
                               check=False).stdout.partition(": ")[0]
        if not owner:
            return "of no package"
        return owner + " " + subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", owner],
            capture_output=True, text=True, check=True).stdout


def _links_allocator(executable):
    linked = subprocess.run(["ldd", executable], capture_output=True, text=True, check=False)
    return re.search(r"lib(jemalloc|tcmalloc|mimalloc)", linked.stdout) is not None


def choose(named, root):
    """The libraries to compare.

    Args:
      named: texts "name=path" from the command line; "glibc=" is glibc. After the path, with a comma
        before each, environment variables may follow as "VARIABLE=value". Empty for the defaults.
      root: what relative default paths are relative to.
    """
    chosen = []
    for text in named:
        library, *variables = text.split(",")
        name, equals, path = library.partition("=")
        environment = tuple(tuple(variable.split("=", 1)) for variable in variables)
        if not equals or not name or any(len(pair) != 2 for pair in environment):
            raise LibraryError(f"--lib {text}: must be name=path[,VARIABLE=value]...")
        if path and not os.path.isfile(path):
            raise LibraryError(f"--lib {text}: there is no such file")
        chosen.append(Library(name, os.path.abspath(path) if path else None, environment))
    if len({library.name for library in chosen}) < len(chosen):
        raise LibraryError("two libraries have the same name")
    if chosen:
        return chosen
    paths = {name: path and os.path.join(root, path) for name, path in DEFAULTS.items()}
    return [Library(name, path) for name, path in paths.items()
            if path is None or os.path.isfile(path)]


def check_binding(library, executable):
    """Raises LibraryError unless malloc and free of the program resolve to the library.

    The dynamic linker itself says so: it prints every binding under LD_DEBUG, and ignores a
    preload that it cannot load.
    """
    environment = dict(os.environ, LD_DEBUG="bindings", LD_BIND_NOW="1")
    environment.pop("LD_PRELOAD", None)
    preload = library.preload(executable)
    if preload != "-":
        environment["LD_PRELOAD"] = preload
    try:
        log = subprocess.run([executable, "--version"], env=environment, stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, errors="replace", check=False,
                             timeout=_CHECK_TIMEOUT_S).stderr
    except subprocess.TimeoutExpired as error:
        raise LibraryError(f"{library.name}: {executable} --version does not end") from error
    pattern = r"binding file (\S+) \[0\] to (\S+) \[0\]: normal symbol `(malloc|free)'"
    program = os.path.realpath(executable)
    # A program at a fixed address lends its own jump to malloc to those who take the address of
    # malloc; where that jump leads is the program's own binding.
    bindings = [binding for binding in re.findall(pattern, log)
                if os.path.realpath(binding[1]) != program]
    if not bindings:
        raise LibraryError(f"{library.name}: {executable} does not call malloc through the dynamic "
                           "linker")
    for source, target, symbol in bindings:
        if os.path.realpath(target) != library.expected_file:
            raise LibraryError(f"{library.name}: {symbol} of {source} resolves to {target}")


def check_all(libraries, executables):
    """Checks each library with each program; (library name, executable) -> why it is refused."""
    refused = {}
    for executable in executables:
        for library in libraries:
            try:
                check_binding(library, executable)
            except LibraryError as error:
                refused[library.name, executable] = str(error)
    return refused
