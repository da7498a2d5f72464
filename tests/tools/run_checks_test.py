# SPDX-License-Identifier: Apache-2.0
"""Tests what tools/run refuses to preload into: run_lib/elf.py and run_lib/preload.py.

The ELF files are made here, byte by byte: headers of every kind, on any machine.
"""

import os
import struct
import sys
import tempfile
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "run_lib"))

# pylint: disable=wrong-import-position
import elf
import preload

X86_64 = 62
AARCH64 = 183
I386 = 3
S390 = 22


def elf_bytes(machine=X86_64, bits=64, order="<", kind=elf.ET_DYN, interpreter=b"/lib/ld.so"):
    """Returns an ELF file of one PT_LOAD and, if there is an interpreter, one PT_INTERP."""
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    header_size, entry_size = (64, 56) if bits == 64 else (52, 32)
    entries = 2 if interpreter else 1
    text = header_size + entries * entry_size
    table = [(1, 0, 0)] + ([(elf.PT_INTERP, text, len(interpreter) + 1)] if interpreter else [])
    fields = (kind, machine, 1, 0, header_size, 0, 0, header_size, entry_size, entries, 0, 0, 0)
    layout = "HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH"
    data = ident + struct.pack(order + layout, *fields)
    for segment, offset, size in table:
        if bits == 64:
            data += struct.pack(order + "IIQQQQQQ", segment, 4, offset, 0, 0, size, size, 1)
        else:
            data += struct.pack(order + "IIIIIIII", segment, offset, 0, 0, size, size, 4, 1)
    return data + interpreter + b"\0"


class FilesTest(unittest.TestCase):
    """A folder to put files in."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.library = self.write("lib.so", elf_bytes(interpreter=b""))

    def write(self, name, data, mode=0o755):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)
        return path

    def assert_refused(self, path, status, words):
        with self.assertRaises(preload.Refusal) as caught:
            preload.check_program(path, self.library)
        self.assertEqual(caught.exception.status, status)
        self.assertIn(words, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))


class ElfTest(FilesTest):
    def test_reads_both_classes_and_byte_orders(self):
        for machine, bits, order in (
            (X86_64, 64, "<"),
            (I386, 32, "<"),
            (S390, 64, ">"),
            (S390, 32, ">"),
        ):
            with self.subTest(machine=machine, bits=bits, order=order):
                header = elf.read_header(self.write("program", elf_bytes(machine, bits, order)))
                self.assertEqual(
                    header, elf.ElfHeader(bits, order, machine, elf.ET_DYN, "/lib/ld.so")
                )

    def test_static_program_has_no_interpreter(self):
        path = self.write("static", elf_bytes(kind=elf.ET_EXEC, interpreter=b""))
        self.assertEqual(elf.read_header(path).interpreter, "")

    def test_architecture_is_class_order_and_machine(self):
        native = elf.read_header(self.library)
        for other in (
            elf_bytes(bits=32),
            elf_bytes(order=">"),
            elf_bytes(machine=AARCH64),
        ):
            header = elf.read_header(self.write("other", other))
            self.assertFalse(native.same_architecture(header), header)
        self.assertTrue(native.same_architecture(elf.read_header(self.library)))

    def test_no_elf_and_half_an_elf(self):
        for data in (b"", b"\x7fELF", b"plain text, longer than a header", elf_bytes()[:90]):
            with self.subTest(data=data), self.assertRaises(elf.NotElf):
                elf.read_header(self.write("broken", data))

    def test_a_program_of_this_machine(self):
        header = elf.read_header(os.path.realpath("/usr/bin/python3"))
        self.assertTrue(os.path.exists(header.interpreter), header)


class CheckProgramTest(FilesTest):
    def test_dynamic_program_is_accepted(self):
        for kind in (elf.ET_DYN, elf.ET_EXEC):
            preload.check_program(self.write("program", elf_bytes(kind=kind)), self.library)

    def test_static_program(self):
        path = self.write("static", elf_bytes(kind=elf.ET_EXEC, interpreter=b""))
        self.assert_refused(path, 126, "statically linked")

    def test_other_architectures(self):
        other_machine = self.write("arm", elf_bytes(machine=AARCH64))
        self.assert_refused(other_machine, 126, "a 64-bit AArch64 program; lib.so is for 64")
        self.assert_refused(self.write("x32", elf_bytes(bits=32)), 126, "a 32-bit x86-64 program")

    def test_not_executable(self):
        self.assert_refused(self.write("plain", elf_bytes(), 0o644), 126, "not executable")
        self.assert_refused(self.folder, 126, "is a directory")

    def test_neither_elf_nor_script(self):
        self.assert_refused(self.write("text", b"echo hello\n"), 126, "neither an ELF")
        self.assert_refused(self.write("empty", b""), 126, "neither an ELF")

    def test_setuid_to_another_user(self):
        path = self.write("setuid", elf_bytes(), 0o4755)
        preload.check_program(path, self.library)  # its owner gains nothing
        with mock.patch("os.getuid", return_value=os.getuid() + 1):
            self.assert_refused(path, 126, "setuid to another user")

    def test_setgid_to_another_group(self):
        path = self.write("setgid", elf_bytes(), 0o2755)
        os.chown(path, -1, os.getgid())
        os.chmod(path, 0o2755)
        preload.check_program(path, self.library)
        with mock.patch("os.getgid", return_value=os.getgid() + 1):
            self.assert_refused(path, 126, "setgid to another group")
            os.chmod(path, 0o2745)  # not executable for the group: the bit changes no group
            preload.check_program(path, self.library)

    def test_file_capabilities(self):
        path = self.write("capable", elf_bytes())
        with mock.patch("os.listxattr", return_value=["security.capability"]):
            with mock.patch("os.getuid", return_value=0):
                preload.check_program(path, self.library)
            with mock.patch("os.getuid", return_value=1000):
                self.assert_refused(path, 126, "has file capabilities")

    def test_script_is_judged_by_its_interpreter(self):
        static = self.write("static", elf_bytes(interpreter=b""))
        dynamic = self.write("dynamic", elf_bytes())
        script = self.write("script", f"#! {dynamic} -x\n".encode())
        preload.check_program(script, self.library)
        preload.check_program(self.write("outer", f"#!{script}\n".encode()), self.library)
        of_static = self.write("of_static", f"#!{static}\n".encode())
        self.assert_refused(of_static, 126, f"{static}: statically linked")

    def test_script_without_a_usable_interpreter(self):
        self.assert_refused(self.write("a", b"#!/no/such/file\n"), 127, "/no/such/file")
        self.assert_refused(self.write("b", b"#!  \n"), 126, "names no interpreter")
        loop = os.path.join(self.folder, "loop")
        self.write("loop", f"#!{loop}\n".encode())
        self.assert_refused(loop, 126, "too many levels")


class FindProgramTest(FilesTest):
    def find(self, name):
        return preload.find_program(name, f"/no/such/folder:{self.folder}/a:{self.folder}/b")

    def setUp(self):
        super().setUp()
        for name in "ab":
            os.mkdir(os.path.join(self.folder, name))

    def test_path_order_and_non_executables(self):
        self.write("a/tool", b"", 0o644)
        self.assertEqual(self.find("tool"), f"{self.folder}/a/tool")  # for the message that follows
        self.write("b/tool", b"", 0o755)
        self.assertEqual(self.find("tool"), f"{self.folder}/b/tool")

    def test_a_slash_means_no_search(self):
        self.write("a/tool", b"", 0o755)
        with self.assertRaises(preload.Refusal):
            preload.find_program("a/tool", self.folder)

    def test_not_found(self):
        for name in ("tool", f"{self.folder}/tool", ""):
            with self.subTest(name=name), self.assertRaises(preload.Refusal) as caught:
                self.find(name)
            self.assertEqual(caught.exception.status, 127)


class PreloadValueTest(unittest.TestCase):
    def test_goes_ahead_of_what_is_there(self):
        self.assertEqual(preload.preload_value("/a.so", None), "/a.so")
        self.assertEqual(preload.preload_value("/a.so", ""), "/a.so")
        self.assertEqual(preload.preload_value("/a.so", "/b.so:/c.so"), "/a.so:/b.so:/c.so")

    def test_separators_in_the_path(self):
        for path in ("/my folder/a.so", "/my:folder/a.so"):
            with self.subTest(path=path), self.assertRaises(preload.Refusal):
                preload.preload_value(path, None)


if __name__ == "__main__":
    unittest.main()
