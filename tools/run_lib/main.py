# SPDX-License-Identifier: Apache-2.0
"""The command line of tools/run, which starts this file: `main.py IGNORED_SIGNALS ARGS...`.

With a program it runs that preloaded (preload.py); without one it compares redis-server on the
allocators (the package redis_comparison beside this folder).
"""

import argparse
import os
import sys

import elf
import library
import preload

# Exit status of failures that are tools/run's own, as env and nohup use it.
FAILED = 125

_COMPARISON_OPTIONS = ("quick", "rounds", "allocators", "json", "full_stats")

_DESCRIPTION = """\
Without PROGRAM: installs the Debian packages that are missing, builds the optimised library, runs
a real redis-server under load on spanmalloc, on glibc's malloc and on the allocators that Debian
packages, prints throughput, p99 latency, CPU time and peak RSS side by side, and ends with
spanmalloc's statistics read through the server. It takes about four minutes.

With PROGRAM: runs it with spanmalloc preloaded (built first if it is missing), ahead of whatever
LD_PRELOAD names already. Exit status and signals are the program's own.
"""

_EPILOG = """\
exit status:
  with PROGRAM     the program's; 127 if it is not found; 126 if it can't be run or can't be
                   preloaded (static, setuid or setgid to somebody else, file capabilities,
                   another architecture); 125 for a wrong option or if the build fails
  without PROGRAM  0; 125 if something failed: a server that crashed, a package, the build

examples:
  tools/run --quick
  tools/run --rounds 9 --allocators glibc,jemalloc --json comparison.json
  tools/run python3 -c 'print("hello")'
  SPANMALLOC_CONF=stats_print:true tools/run ls -l
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(FAILED, f"{self.prog}: {message} (--help says more)\n")


def _parser():
    parser = _Parser(
        prog="tools/run",
        usage="tools/run [--quick] [--rounds N] [--allocators A,B] [--json FILE] [--full-stats]\n"
        "       tools/run [--build] [--library PATH] PROGRAM [ARGS...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    both = parser.add_argument_group("always")
    both.add_argument("--build", action="store_true", help="rebuild the library first")
    both.add_argument("--library", metavar="PATH", help="use this library; nothing is built")
    main_job = parser.add_argument_group("without PROGRAM")
    main_job.add_argument("--quick", action="store_true", help="a smaller load: about 40 seconds")
    main_job.add_argument("--rounds", type=int, metavar="N", help="servers per allocator")
    main_job.add_argument(
        "--allocators",
        metavar="A,B",
        help="measure only these beside spanmalloc: glibc, jemalloc, mimalloc, tcmalloc",
    )
    main_job.add_argument("--json", metavar="FILE", help="write every measurement to FILE")
    main_job.add_argument(
        "--full-stats", action="store_true", help="print MEMORY MALLOC-STATS uncut"
    )
    return parser


def _library_path(options, always_build):
    if options.library:
        try:
            elf.read_header(options.library)
        except (OSError, elf.NotElf) as error:
            raise library.SetupError(f"--library {options.library}: {error}") from error
        return os.path.abspath(options.library)
    return library.build() if always_build or options.build else library.built_or_build()


def main(arguments):
    ignored_signals = int(arguments[1], 16)
    parser = _parser()
    options = parser.parse_args(arguments[2:])
    if options.command[:1] == ["--"]:
        del options.command[0]
    try:
        if options.command:
            if any(vars(options)[name] != parser.get_default(name) for name in _COMPARISON_OPTIONS):
                parser.error("the options of the comparison can't go with a PROGRAM")
            preload.run(options.command, _library_path(options, False), ignored_signals)
        library.install_for_comparison()
        library_path = _library_path(options, True)
        # Only now: it needs python3-rich, which may just have been installed.
        sys.path.append(os.path.join(library.ROOT, "tools"))
        from redis_comparison import comparison

        return comparison.run(options, library_path)
    except preload.Refusal as refusal:
        print(f"tools/run: {refusal}", file=sys.stderr)
        return refusal.status
    except library.SetupError as error:
        print(f"tools/run: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv))
