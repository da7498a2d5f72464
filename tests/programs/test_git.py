# SPDX-License-Identifier: Apache-2.0
"""git: a repository of some hundred commits is imported, cloned, repacked, read back, checked."""

import random

import support

COMMITS = 300
FILES = 60


def fast_import_stream():
    """A fast-import stream: each commit rewrites some files, every 20th also merges a branch."""
    rng = random.Random(7)
    words = [f"word{i}" for i in range(500)]
    files = {f"dir{i % 7}/file{i}.txt": [] for i in range(FILES)}
    parts = []
    for number in range(1, COMMITS + 1):
        branch = "side" if number % 20 > 14 else "main"
        parts.append(
            f"commit refs/heads/{branch}\nmark :{number}\n"
            f"committer A <a@example.org> {1600000000 + number * 60} +0000\n"
            f"data {len(str(number))}\n{number}\n"
        )
        if number > 1:
            parts.append(f"from :{number - 1}\n")
        if number % 20 == 0:
            parts.append(f"merge :{number - 2}\n")
        for name in rng.sample(sorted(files), 5):
            lines = files[name]
            for _ in range(40):
                line = " ".join(rng.choices(words, k=8))
                lines.insert(rng.randint(0, len(lines)), line)
            del lines[400:]
            text = "\n".join(lines) + "\n"
            parts.append(f"M 100644 inline {name}\ndata {len(text)}\n{text}\n")
    return "".join(parts).encode()


class GitTest(support.ProgramTest):
    programs = ("git",)

    def test_import_clone_repack_log_fsck(self):
        stream = fast_import_stream()

        def workload(session):
            def git(*words, stdin=None):
                return session.run(
                    ["git", "-c", "init.defaultBranch=main", "-c", "gc.auto=0", *words],
                    stdin=stdin,
                    GIT_CONFIG_NOSYSTEM="1",
                )

            git("init", "-q", "--bare", "source.git")
            git("-C", "source.git", "fast-import", "--quiet", stdin=stream)
            git("clone", "-q", "--no-local", "source.git", "copy")
            git("-C", "copy", "gc", "--quiet", "--aggressive", "--prune=now")
            objects = git(
                "-C", "copy", "cat-file", "--batch-all-objects", "--batch-check", "--unordered"
            )
            log = git("-C", "copy", "log", "-p", "-m", "--stat", "--all", "--find-copies-harder")
            return {
                "head": git("-C", "copy", "rev-parse", "HEAD", "origin/side"),
                "objects": sorted(objects.splitlines()),
                "log": support.sha256(log),
                "blame": support.sha256(git("-C", "copy", "blame", "-w", "dir0/file0.txt")),
                "grep": support.sha256(git("-C", "copy", "grep", "-n", "-E", "word1[0-9]+ word2")),
                "fsck": git("-C", "copy", "fsck", "--full", "--strict"),
                "status": git("-C", "copy", "status", "--porcelain"),
            }

        outcome = self.same_under_both(workload)
        self.assertGreater(len(outcome["objects"]), COMMITS * 3)
