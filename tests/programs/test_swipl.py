# SPDX-License-Identifier: Apache-2.0
"""SWI-Prolog: facts, atoms, strings, threads that come and go, a trimmed heap."""

import support

PROGRAM = r"""
:- dynamic fact/3.

facts(Count) :-
    forall(between(1, Count, I), (
        atom_concat(key_, I, Key),
        length(List, 5),
        maplist(=(I), List),
        assertz(fact(Key, I, List)))),
    aggregate_sum(Sum),
    format("~w facts, ~w~n", [Count, Sum]).

aggregate_sum(Sum) :-
    findall(I, (fact(_, I, List), length(List, 5)), Is),
    sum_list(Is, Sum).

work(Seed, Length) :-
    numlist(1, 3000, Ns),
    foldl([N, A0, A]>>(A is (A0 * 31 + N) mod 1000003), Ns, Seed, Hash),
    findall(S, (between(1, 300, I), format(string(S), "~w-~w-~p", [Seed, I, Hash])), Ss),
    atomic_list_concat(Ss, ',', Atom),
    atom_length(Atom, Length).

threads(Round) :-
    numlist(1, 8, Seeds),
    concurrent_maplist(work, Seeds, Lengths),
    format("~w ~w~n", [Round, Lengths]).

main :-
    facts(60000),
    forall(between(1, 10, Round), threads(Round)),
    retractall(fact(_, _, _)),
    garbage_collect_atoms,
    garbage_collect_clauses,
    trim_heap,
    facts(1000),
    thread_idle(true, long),
    thread_idle(facts(10), short),
    X is 7 ** 20000 mod 1000000007,
    format("~w~n", [X]),
    halt.

:- initialization(main, main).
"""


class SwiplTest(support.LinkedProgramTest):
    programs = ("swipl",)
    soname = "libtcmalloc_minimal.so.4"

    def test_program(self):
        def workload(session):
            program = session.directory / "program.pl"
            program.write_text(PROGRAM)
            return session.run(["swipl", program])

        self.assertEqual(self.same_under_both(workload).count(b"\n"), 14)
