# SPDX-License-Identifier: Apache-2.0
"""What tools/install puts into a folder: programs are built and run with nothing else."""

import os
import re
import subprocess
import tempfile
import unittest

TOOL = os.path.abspath("tools/install")
C_PROGRAM = os.path.abspath("tests/install/program.c")
CXX_PROGRAM = os.path.abspath("tests/install/program.cc")

HEADER_CLIENT = """
#include <HEADER>
#include <stdio.h>
int main(void) {
  void* block = NAME(100, MALLOCX_ALIGN(256));
  printf("%d\\n", block != NULL);
  return 0;
}
"""


def run(*command, **environment):
    """The standard output of a command that must succeed."""
    result = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout}")
    return result.stdout


class InstallTest(unittest.TestCase):
    """One installation for all."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = os.path.join(cls.scratch.name, "usr")
        run(TOOL, "--built", cls.folder)
        cls.program = os.path.join(cls.scratch.name, "program")

    def flags(self, name):
        """What pkg-config says of a package, by its rules."""
        with open(f"{self.folder}/lib/pkgconfig/{name}.pc", encoding="utf-8") as file:
            text = file.read()
        variables = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
        fields = dict(re.findall(r"^(\w+): (.*)$", text, re.MULTILINE))
        self.assertRegex(fields["Version"], r"^\d+\.\d+\.\d+$")
        flags = fields["Cflags"] + " " + fields["Libs"]
        while "$" in flags:
            flags = re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], flags)
        return flags.split()

    def client(self, header, name):
        """The path of a program's source."""
        path = self.program + ".c"
        with open(path, "w", encoding="utf-8") as file:
            file.write(HEADER_CLIENT.replace("HEADER", header).replace("NAME", name))
        return path

    def test_programs_link_by_pkg_config(self):
        for compiler, source in ("gcc", C_PROGRAM), ("g++", CXX_PROGRAM):
            run(compiler, "-O2", "-o", self.program, source, *self.flags("spanmalloc"))
            output = run(self.program, LD_LIBRARY_PATH=f"{self.folder}/lib")
            self.assertEqual(output, "ok\n")

    def test_headers(self):
        include = f"{self.folder}/include"
        cases = [
            ("spanmalloc/spanmalloc.h", "mallocx", "spanmalloc", []),
            ("jemalloc/jemalloc.h", "mallocx", "spanmalloc", [f"-I{include}/spanmalloc"]),
            ("spanmalloc/je_spanmalloc.h", "je_mallocx", "spanmalloc_je", []),
            ("jemalloc/jemalloc.h", "je_mallocx", "spanmalloc_je", [f"-I{include}/spanmalloc/je"]),
        ]
        for header, name, package, options in cases:
            with self.subTest(header=header, name=name):
                source = self.client(header, name)
                run("gcc", "-Wall", "-Werror", "-o", self.program, source, *options,
                    *self.flags(package))
                output = run(self.program, LD_LIBRARY_PATH=f"{self.folder}/lib")
                self.assertEqual(output, "1\n")

    def test_others_names_are_in_a_folder_of_their_own(self):
        found = sorted(os.listdir(f"{self.folder}/lib/spanmalloc"))
        self.assertEqual(found, ["libjemalloc.so.2", "libtcmalloc_minimal.so.4"])
        maps = run("redis-cli", "--version", LD_LIBRARY_PATH=f"{self.folder}/lib/spanmalloc",
                   LD_DEBUG="libs")
        self.assertIn(f"calling init: {self.folder}/lib/spanmalloc/libjemalloc.so.2", maps)


if __name__ == "__main__":
    unittest.main()
