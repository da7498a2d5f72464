# SPDX-License-Identifier: Apache-2.0
"""g++ and clang++-19: assembly, object file and linked program must be the glibc run's bytes."""

import platform

import generate_cxx
import support

UNITS = 6
TRIPLE = f"{platform.machine()}-linux-gnu"


class CompilerTest(support.ProgramTest):
    def compile_and_run(self, compiler, link_options=()):
        """Compiles to assembly (-O1) and to an object (-O2 -g), links it, runs the result."""

        def workload(session):
            def run(*words):
                return session.run(words)

            (session.directory / "large.cc").write_text(generate_cxx.program(UNITS))
            run(compiler, "-std=c++20", "-O1", "-S", "large.cc", "-o", "large.s")
            run(compiler, "-std=c++20", "-O2", "-g", "-c", "large.cc", "-o", "large.o")
            run(compiler, "large.o", *link_options, "-o", "large")
            outputs = ("large.s", "large.o", "large")
            digests = {name: support.sha256_of_file(session.directory / name) for name in outputs}
            return digests, run(session.directory / "large")

        self.same_under_both(workload)


class GccTest(CompilerTest):
    programs = ("cc1plus", f"{TRIPLE}-as", f"{TRIPLE}-ld.bfd")

    def test_gcc(self):
        self.compile_and_run("g++")


class ClangTest(CompilerTest):
    programs = ("clang",)

    def test_clang(self):
        self.compile_and_run("clang++-19")
