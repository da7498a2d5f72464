# SPDX-License-Identifier: Apache-2.0
"""Many small programs and one test that runs them all under the preloaded library."""

load("//tools/bazel:copts.bzl", "SPAN_COPTS")
load("//tools/bazel:tests.bzl", "preload_test")

# The compiler must not know what malloc does, or it removes what is being tested; and the checked
# forms of libc's functions would pull in the C++ library, which allocates when it starts.
_PROGRAM_COPTS = SPAN_COPTS + [
    "-fno-builtin",
    "-fsized-deallocation",
    "-O1",
    "-U_FORTIFY_SOURCE",
]

def allocator_programs(names, hdrs, deps = []):
    """Builds each name.cc into a program that uses whichever malloc it is run with.

    Args:
      names: names of the programs.
      hdrs: headers of this package.
      deps: headers of other packages.
    """
    for name in names:
        native.cc_binary(
            name = name,
            testonly = True,
            srcs = [name + ".cc"] + hdrs,
            copts = _PROGRAM_COPTS,
            linkopts = [
                "-ldl",
                "-lpthread",
            ],
            tags = ["no_sanitizer"],
            deps = deps,
        )

def allocator_plugins(names):
    """Builds each name.cc into name.so, a library that a program loads from its own folder."""
    for name in names:
        native.cc_binary(
            name = name + ".so",
            testonly = True,
            srcs = [name + ".cc"],
            copts = _PROGRAM_COPTS + ["-fPIC"],
            linkshared = True,
            tags = ["no_sanitizer"],
        )

def programs_test(name, programs, data = [], tags = [], **kwargs):
    """Runs the programs one after another; each is a test case.

    Args:
      name: name of the test.
      programs: labels of allocator_programs.
      data: what they need beside them.
      tags: tags.
      **kwargs: anything of preload_test.
    """
    preload_test(
        name = name,
        script = "//tests/override:runner.py",
        args = ["--suite=" + name] + ["$(rootpath %s)" % program for program in programs],
        data = data + programs,
        tags = tags,
        **kwargs
    )
