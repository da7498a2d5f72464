# SPDX-License-Identifier: Apache-2.0
"""Runs a program with the library preloaded, or says why it can't be.

ld.so drops LD_PRELOAD without a word where it does not apply (static programs, programs that gain
privileges, another architecture); the checks here turn each such case into one line on stderr.
Called by main.py for `tools/run PROGRAM ARGS...`. The program replaces this process (exec), which
makes its exit status and signals exact.
"""

import os
import signal
import stat

import elf

# The shell's convention for a command that can't be run.
NOT_EXECUTABLE = 126
NOT_FOUND = 127

_MAX_INTERPRETERS = 5  # as deep as the kernel follows #! lines


class Refusal(Exception):
    """The program can't run preloaded: the exit status, and a message of one line."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def find_program(name, search_path):
    """Returns the path of the program, found as a shell does."""
    if "/" in name:
        if not os.path.exists(name):
            raise Refusal(NOT_FOUND, f"{name}: no such file")
        return name
    found_but_not_executable = None
    for directory in search_path.split(":"):
        path = os.path.join(directory or ".", name)
        if os.path.isfile(path):
            if os.access(path, os.X_OK):
                return path
            found_but_not_executable = found_but_not_executable or path
    if found_but_not_executable:
        return found_but_not_executable
    raise Refusal(NOT_FOUND, f"{name}: program not found in PATH")


def check_program(path, library):
    """Raises Refusal unless ld.so will load the library into the program at path.

    For a script the answer is that of its interpreter.
    """
    script = path
    for _ in range(_MAX_INTERPRETERS):
        _check_executable(path)
        interpreter = _script_interpreter(path)
        if interpreter is None:
            _check_elf(path, library)
            return
        if not os.path.exists(interpreter):
            raise Refusal(NOT_FOUND, f"{path}: its interpreter {interpreter} does not exist")
        path = interpreter
    raise Refusal(NOT_EXECUTABLE, f"{script}: too many levels of script interpreters")


def preload_value(library, existing):
    """Returns LD_PRELOAD's new value: the library ahead of what is preloaded already."""
    library = os.path.abspath(library)
    if any(separator in library for separator in " :"):
        raise Refusal(
            NOT_EXECUTABLE,
            f"LD_PRELOAD can't name a file whose path holds a space or a colon: {library}",
        )
    return f"{library}:{existing}" if existing else library


def run(command, library, ignored_signals):
    """Replaces this process by command (a list) with the library preloaded; raises Refusal."""
    path = find_program(command[0], os.environ.get("PATH", os.defpath))
    check_program(path, library)
    environment = _original_environment()
    environment["LD_PRELOAD"] = preload_value(library, environment.get("LD_PRELOAD"))
    # Python ignores these two from its start on; an exec would hand that to the program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        if not ignored_signals >> (number - 1) & 1:
            signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(path, command, environment)
    except OSError as error:
        status = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        raise Refusal(status, f"{path}: {_reason(error)}") from error


def _original_environment():
    """Returns the environment this process was started with.

    In the C locale Python sets LC_CTYPE for itself and its children; the program must not see that.
    """
    environment = dict(os.environb)
    with open("/proc/self/environ", "rb") as file:
        if not any(entry.startswith(b"LC_CTYPE=") for entry in file.read().split(b"\0")):
            environment.pop(b"LC_CTYPE", None)
    return {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}


def _reason(error):
    return error.strerror[:1].lower() + error.strerror[1:]


def _check_executable(path):
    if os.path.isdir(path):
        raise Refusal(NOT_EXECUTABLE, f"{path}: is a directory")
    if not os.access(path, os.X_OK):
        raise Refusal(NOT_EXECUTABLE, f"{path}: not executable")


def _script_interpreter(path):
    """Returns the interpreter that the #! line of path names; None if there is no such line."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError as error:
        raise Refusal(NOT_EXECUTABLE, f"{path}: can't be checked: {_reason(error)}") from error
    if not line.startswith(b"#!"):
        return None
    words = line[2:].split()
    if not words:
        raise Refusal(NOT_EXECUTABLE, f"{path}: its #! line names no interpreter")
    return os.fsdecode(words[0])


def _check_elf(path, library):
    try:
        program = elf.read_header(path)
    except elf.NotElf as error:
        message = f"{path}: neither an ELF program nor a script with a #! line"
        raise Refusal(NOT_EXECUTABLE, message) from error
    wanted = elf.read_header(library)
    if not program.same_architecture(wanted):
        raise Refusal(
            NOT_EXECUTABLE,
            f"{path}: a {program.architecture} program; {os.path.basename(library)} is for "
            f"{wanted.architecture}",
        )
    if not program.interpreter:
        raise Refusal(
            NOT_EXECUTABLE,
            f"{path}: statically linked, nothing can be preloaded into it; link it with the "
            "library instead",
        )
    gained = _gained_privilege(path)
    if gained:
        raise Refusal(
            NOT_EXECUTABLE,
            f"{path}: {gained}, so ld.so ignores LD_PRELOAD; run it as a user who gains nothing",
        )


def _gained_privilege(path):
    """Says which privilege the caller gains by running path, or returns an empty string."""
    status = os.stat(path)
    if status.st_mode & stat.S_ISUID and status.st_uid != os.getuid():
        return "setuid to another user"
    # Without the group's execute bit, the setgid bit means no change of group.
    if status.st_mode & stat.S_ISGID and status.st_mode & stat.S_IXGRP:
        if status.st_gid != os.getgid():
            return "setgid to another group"
    # Root gains nothing by file capabilities.
    if os.getuid() != 0 and "security.capability" in _extended_attributes(path):
        return "has file capabilities"
    return ""


def _extended_attributes(path):
    try:
        return os.listxattr(path)
    except OSError:  # a file system without them
        return []
