# SPDX-License-Identifier: Apache-2.0
"""How a test says what it tests.

component_test  parts of the allocator, in a program that uses the system's malloc
preload_test    a whole program (or a script) under LD_PRELOAD=libspanmalloc.so
link_test       a program that links //:spanmalloc
static_test     the same, with no shared library at all
python_test     a script of unittest's
library_test    the same, whose first argument is libspanmalloc.so

C++ sources are GoogleTest with its main unless gtest = False.
"""

load("//tools/bazel:copts.bzl", "SPAN_COPTS")

_GTEST = "@com_google_googletest//:gtest_main"
_LIBRARY = "//:libspanmalloc.so"

# What the option slab_sizes may be set to.
SPAN_LENGTHS = {
    "longest": "1-32768:32",
    "odd": "1-4096:17|100-200:1|128-128:2",
    "shortest": "1-32768:1",
}

def component_test(name, srcs, deps = [], copts = [], size = "small", span_lengths = False, **kwargs):
    """A GoogleTest of some floors; it must not reach //allocator/api, which replaces malloc.

    Args:
      name: name of the target.
      srcs: C++ sources.
      deps: what is tested, and fakes.
      copts: flags beyond SPAN_COPTS.
      size: as of every test.
      span_lengths: whether the same is run with spans of several other lengths, too: <name>_longest
        and so on.
      **kwargs: anything of cc_test.
    """
    if span_lengths:
        objects = name + "_objects"
        native.cc_library(
            name = objects,
            testonly = True,
            srcs = srcs,
            copts = SPAN_COPTS + copts,
            linkstatic = True,
            deps = deps + [_GTEST],
            alwayslink = True,
        )
        srcs = []
        deps = [objects]
        for lengths, text in SPAN_LENGTHS.items():
            native.cc_test(
                name = name + "_" + lengths,
                size = size,
                env = {"SPAN_LENGTHS": text},
                linkstatic = True,
                deps = [objects, "//tests/support:span_lengths"],
                **kwargs
            )
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = SPAN_COPTS + copts,
        linkstatic = True,
        deps = deps + [_GTEST],
        **kwargs
    )

def preload_test(
        name,
        srcs = None,
        script = None,
        deps = [],
        copts = [],
        linkopts = [],
        gtest = True,
        env = {},
        args = [],
        data = [],
        tags = [],
        size = "small",
        **kwargs):
    """A program built from srcs and run preloaded, or a script that preloads what it runs.

    Args:
      name: name of the target.
      srcs: C++ or C sources of the program; built as <name>_program.
      script: instead of srcs, an executable bash or Python file. It is not preloaded itself; it
        finds the library's absolute path in the variable SPANMALLOC_SO.
      deps: libraries of the program.
      copts: flags of the program beyond SPAN_COPTS.
      linkopts: link flags of the program.
      gtest: whether the program is a GoogleTest without a main of its own.
      env: variables set for the program or the script.
      args: arguments of the program or the script.
      data: files needed at run time.
      tags: tags; no_sanitizer is added.
      size: as of every test.
      **kwargs: anything of sh_test.
    """
    if (srcs == None) == (script == None):
        fail("%s: give either srcs or script" % name)
    if srcs:
        program = name + "_program"
        native.cc_binary(
            name = program,
            testonly = True,
            srcs = srcs,
            copts = SPAN_COPTS + copts,
            linkopts = linkopts,
            tags = ["no_sanitizer"],
            visibility = ["//tests:__subpackages__"],
            deps = deps + ([_GTEST] if gtest else []),
        )
        mode = "preloaded"
    else:
        program = script
        mode = "script"
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tools/bazel:run_preloaded.sh"],
        args = [mode, "$(rootpath %s)" % _LIBRARY] +
               ["%s=%s" % (key, env[key]) for key in sorted(env)] +
               ["--", "$(rootpath %s)" % program] + args,
        data = data + [_LIBRARY, program],
        tags = tags + ["no_sanitizer"],
        **kwargs
    )

def link_test(
        name,
        srcs,
        deps = [],
        copts = [],
        linkopts = [],
        gtest = True,
        tags = [],
        size = "small",
        **kwargs):
    """A program whose malloc is ours because it links //:spanmalloc.

    Args:
      name: name of the target.
      srcs: C++ or C sources.
      deps: libraries of the program.
      copts: flags beyond SPAN_COPTS.
      linkopts: link flags.
      gtest: whether the program is a GoogleTest without a main of its own.
      tags: tags; no_sanitizer is added.
      size: as of every test.
      **kwargs: anything of cc_test.
    """
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs,
        copts = SPAN_COPTS + copts,
        linkopts = linkopts,
        linkstatic = True,
        tags = tags + ["no_sanitizer"],
        deps = deps + ["//:spanmalloc"] + ([_GTEST] if gtest else []),
        **kwargs
    )

def static_test(name, srcs, linkopts = [], **kwargs):
    """A link_test without any shared library, libc included.

    Args:
      name: name of the target.
      srcs: C++ or C sources.
      linkopts: link flags.
      **kwargs: anything of link_test.
    """
    link_test(
        name = name,
        srcs = srcs,
        linkopts = linkopts + ["-static", "-Wno-unused-command-line-argument"],
        **kwargs
    )

def python_test(name, main, data = [], args = [], size = "small", **kwargs):
    """A file of unittest test cases, run by Debian's python3.

    Args:
      name: name of the target.
      main: the Python file.
      data: files it imports or reads.
      args: its arguments, after which it finds none of unittest's.
      size: as of every test.
      **kwargs: anything of sh_test.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tools/bazel:run_python_test.sh"],
        args = ["$(rootpath //tools/bazel:run_python_test.py)", "$(rootpath %s)" % main] + args,
        data = data + [main, "//tools/bazel:run_python_test.py"],
        **kwargs
    )

def library_test(name, main, data = [], args = [], tags = [], **kwargs):
    """A python_test that looks at the library, whose path is its first argument.

    Args:
      name: name of the target.
      main: the Python file.
      data: files it imports or reads beside the library.
      args: its arguments after the library.
      tags: tags; no_sanitizer is added.
      **kwargs: anything of python_test.
    """
    python_test(
        name = name,
        main = main,
        data = data + [_LIBRARY],
        args = ["$(rootpath %s)" % _LIBRARY] + args,
        tags = tags + ["no_sanitizer"],
        **kwargs
    )
