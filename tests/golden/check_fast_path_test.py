# SPDX-License-Identifier: Apache-2.0
"""tools/check_fast_path.py on disassemblies whose hit paths are known."""

import sys
import unittest

sys.path.insert(0, "tools")
import check_fast_path  # pylint: disable=wrong-import-position

SYMBOLS = """\
0000000000001000 0000000000000030 T malloc
0000000000001000 0000000000000030 W __libc_malloc@@SOME_VERSION
0000000000004000 0000000000000008 B malloc_conf
"""


def path_of(body, size=0x30):
    """The hit path of a function at 0x1000 made of these lines."""
    text = "\nlibrary:     file format elf64-x86-64\n\n0000000000001000 <malloc>:\n" + body
    function = check_fast_path.Function("malloc", 0x1000, 0x1000 + size)
    return check_fast_path.hit_path(function, check_fast_path.parse_disassembly(text))


def counts_of(body):
    """The counts of that path."""
    return check_fast_path.count("malloc", path_of(body))


class HitPath(unittest.TestCase):
    """Which instructions are on the path."""

    def test_straight_line_ends_at_the_first_ret(self):
        self.assertEqual(
            counts_of(
                "    1000:\tmov    0x2fe9(%rip),%rax        # 4000 <malloc_conf>\n"
                "    1007:\tmov    %fs:(%rax),%rcx\n"
                "    100b:\ttest   %rcx,%rcx\n"
                "    100e:\tje     1020 <malloc+0x20>\n"
                "    1010:\tmov    %rdx,0x8(%rcx,%rdi,8)\n"
                "    1015:\tret\n"
                "    1020:\tcall   2000 <refill>\n"
                "    1025:\tret\n"
            ),
            check_fast_path.Counts(instructions=6, fs_loads=1, stores=1),
        )

    def test_follows_a_jmp_inside_the_function(self):
        path = path_of(
            "    1000:\tjmp    1008 <malloc+0x8>\n"
            "    1002:\tcall   2000 <refill>\n"
            "    1008:\tmov    %fs:0x0,%rax\n"
            "    1011:\tret\n"
        )
        self.assertEqual([i.address for i in path], [0x1000, 0x1008, 0x1011])

    def test_a_prefixed_ret_ends_the_path(self):
        self.assertEqual(len(path_of("    1000:\tnop\n    1001:\trepz ret\n")), 2)

    def test_does_not_follow_a_jump_to_code_placed_before_the_function(self):
        path = path_of("    1000:\tjb     f00 <miss>\n    1006:\tret\n")
        self.assertEqual(len(path), 2)

    def test_takes_the_jump_over_a_tail_call(self):
        path = path_of(
            "    1000:\tjb     1007 <malloc+0x7>\n"
            "    1002:\tjmp    2000 <allocate_slow>\n"
            "    1007:\tret\n"
        )
        self.assertEqual([i.address for i in path], [0x1000, 0x1007])

    def test_refuses_a_tail_call_that_both_ways_of_a_jump_reach(self):
        self.assert_refused(
            "    1000:\tjb     3000 <grow>\n    1006:\tjmp    2000 <allocate_slow>\n", "tail call"
        )

    def assert_refused(self, body, reason):
        """The path has no number, for this reason."""
        with self.assertRaisesRegex(check_fast_path.FastPathError, reason):
            counts_of(body)

    def test_refuses_a_call(self):
        body = "    1000:\tcall   2000 <refill>\n    1005:\tret\n"
        self.assert_refused(body, r"malloc\+0x0.*calls")

    def test_refuses_a_tail_call(self):
        self.assert_refused("    1000:\tjmp    2000 <allocate>\n", "tail call")

    def test_refuses_an_indirect_jump(self):
        self.assert_refused("    1000:\tjmp    *%rax\n", "tail call")

    def test_refuses_a_loop(self):
        nop = "    1000:\tnop\n"
        self.assert_refused(nop + "    1001:\tjne    1000 <malloc>\n    1003:\tret\n", "loop")
        self.assert_refused(nop + "    1001:\tjmp    1000 <malloc>\n", "loop")

    def test_refuses_a_trap(self):
        self.assert_refused("    1000:\tud2\n", "trap")

    def test_refuses_a_function_without_ret(self):
        self.assert_refused("    1000:\tnop\n    1001:\tnop\n", "no ret")

    def test_refuses_an_early_ret_that_is_not_the_hit(self):
        self.assert_refused(
            "    1000:\ttest   %rdi,%rdi\n"
            "    1003:\tjne    1006 <malloc+0x6>\n"
            "    1005:\tret\n"
            "    1006:\tmov    %fs:0x0,%rax\n"
            "    100f:\tmov    %rdi,(%rax)\n"
            "    1012:\tret\n",
            "not the hit path",
        )


class Instructions(unittest.TestCase):
    """Which instructions store, and which load through the thread pointer."""

    def parse(self, text):
        """The instruction of one line."""
        return check_fast_path.parse_instruction("    1000:\t" + text)

    def test_stores(self):
        for text in (
            "mov    %rax,(%rdi)",
            "movq   $0x0,0x10(%rax)",
            "addl   $0x1,%fs:0x8",
            "incq   (%rax)",
            "decw   %fs:0xfffffffffffffff8",
            "push   %rbx",
            "lock xadd %rax,(%rcx)",
            "movups %xmm0,(%rax,%rcx,4)",
            "sete   (%rax)",
        ):
            self.assertTrue(check_fast_path.is_store(self.parse(text)), text)

    def test_not_stores(self):
        for text in (
            "mov    (%rdi),%rax",
            "cmp    %rax,(%rdi)",
            "cmpl   $0x1,0x8(%rdi)",
            "testb  $0x1,(%rdi)",
            "lea    0x8(%rdi,%rax,8),%rcx",
            "prefetcht0 (%rax)",
            "nopw   0x0(%rax,%rax,1)",
            "nopl   (%rax)",
            "ret",
            "jmp    *(%rax)",
            "add    0x8(%rax),%rcx",
        ):
            self.assertFalse(check_fast_path.is_store(self.parse(text)), text)

    def test_thread_pointer_loads(self):
        for text in (
            "mov    %fs:0x0,%rax",
            "mov    %fs:(%rax),%rcx",
            "add    %fs:0x10,%rax",
            "subl   $0x1,%fs:0x8",
            "cmpq   $0x0,%fs:0x28",
            "push   %fs:0x10",
        ):
            self.assertTrue(check_fast_path.is_fs_load(self.parse(text)), text)

    def test_not_thread_pointer_loads(self):
        for text in (
            "mov    %rax,%fs:(%rcx)",
            "movq   $0x0,%fs:0x10",
            "mov    0x10(%rax),%rcx",
            "cs nopw %fs:0x0(%rax,%rax,1)",
        ):
            self.assertFalse(check_fast_path.is_fs_load(self.parse(text)), text)


class Symbols(unittest.TestCase):
    """The functions of the symbol table."""

    def test_functions_only_and_without_versions(self):
        functions = check_fast_path.parse_symbols(SYMBOLS)
        self.assertEqual(sorted(functions), ["__libc_malloc", "malloc"])
        self.assertEqual(functions["malloc"], ("malloc", 0x1000, 0x1030))

    def test_a_missing_function_is_an_error(self):
        with self.assertRaisesRegex(check_fast_path.FastPathError, "no function free"):
            check_fast_path.find_path("free", check_fast_path.parse_symbols(SYMBOLS), {})
