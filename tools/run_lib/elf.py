# SPDX-License-Identifier: Apache-2.0
"""Reads the few fields of an ELF header that decide whether a library can be preloaded.

Called by preload.py.
"""

import dataclasses
import struct

ET_EXEC = 2
ET_DYN = 3
PT_INTERP = 3

_MACHINES = {
    2: "SPARC",
    3: "i386",
    8: "MIPS",
    21: "PowerPC64",
    22: "s390",
    40: "ARM",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}


class NotElf(Exception):
    """The bytes are no ELF file, or one too short to be loaded."""


@dataclasses.dataclass(frozen=True)
class ElfHeader:
    """What the kernel and ld.so look at before they load a file."""

    bits: int  # 32 or 64
    byte_order: str  # "<" little-endian, ">" big-endian, as in the struct module
    machine: int  # e_machine
    kind: int  # e_type
    interpreter: str  # PT_INTERP's path; empty if there is none

    @property
    def architecture(self):
        """For people: "64-bit x86-64"."""
        machine = _MACHINES.get(self.machine, f"machine {self.machine}")
        return f"{self.bits}-bit {machine}"

    def same_architecture(self, other):
        """True if both can be mapped into one process."""
        mine = (self.bits, self.byte_order, self.machine)
        return mine == (other.bits, other.byte_order, other.machine)


def read_header(path):
    """Returns the ElfHeader of the file at path; raises NotElf or OSError."""
    with open(path, "rb") as file:
        try:
            return _parse(file)
        except struct.error as error:
            raise NotElf("the ELF header is cut short") from error


def _parse(file):
    ident = file.read(16)
    if ident[:4] != b"\x7fELF":
        raise NotElf("no ELF magic number")
    if len(ident) < 16 or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise NotElf("an unknown ELF class or byte order")
    bits = 64 if ident[4] == 2 else 32
    order = "<" if ident[5] == 1 else ">"
    # e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize,
    # e_phnum
    layout = struct.Struct(order + ("HHIQQQIHHH" if bits == 64 else "HHIIIIIHHH"))
    fields = layout.unpack(file.read(layout.size))
    kind, machine, table, entry_size, entries = (fields[i] for i in (0, 1, 4, 8, 9))
    interpreter = ""
    for index in range(entries):
        file.seek(table + index * entry_size)
        if bits == 64:  # p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz
            segment, _, offset, _, _, size = struct.unpack(order + "IIQQQQ", file.read(40))
        else:  # p_type, p_offset, p_vaddr, p_paddr, p_filesz
            segment, offset, _, _, size = struct.unpack(order + "IIIII", file.read(20))
        if segment == PT_INTERP:
            file.seek(offset)
            interpreter = file.read(size).rstrip(b"\0").decode(errors="surrogateescape")
    return ElfHeader(bits, order, machine, kind, interpreter)
