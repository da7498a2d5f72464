# SPDX-License-Identifier: Apache-2.0
"""SWI-Prolog: facts, atoms, strings, threads that come and go, a trimmed heap.

Its malloc_property asks the allocator for what it holds.
"""

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
    counts,
    halt.

allocated(Bytes) :- malloc_property('generic.current_allocated_bytes'(Bytes)).

% A thread of its own may be collecting clauses.
given_back(Limit) :-
    between(1, 1000, _),
    garbage_collect_clauses,
    allocated(Now),
    ( Now < Limit -> true ; sleep(0.01), fail ),
    !.

% What is asserted is allocated by malloc, and given back when it is retracted.
counts :-
    allocated(Before),
    forall(between(1, 200000, I), assertz(fact(I, I, I))),
    allocated(Full),
    malloc_property('generic.heap_size'(Heap)),
    retractall(fact(_, _, _)),
    Grown is Full - Before,
    ( Grown > 200000 * 60, Full =< Heap, given_back(Before + Grown // 4) -> true
    ; format("~w~n", [[Before, Full, Heap]]) ),
    forall(malloc_property(Property), (Property =.. [Name|_], format("~w~n", [Name]))).

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

        self.assertEqual(self.same_under_both(workload).count(b"\n"), 23)
