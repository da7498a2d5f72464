# SPDX-License-Identifier: Apache-2.0
"""How far one library is from the best of its peers: row by row, and in counts over all rows.

Used by report.py. The peers are all other libraries of the run, glibc among them.
"""

import dataclasses

# A row is lost by more than the first of these if the difference may be noise, by more than the
# second if it can't be.
LOSSES = (1.03, 1.10)
LARGE_RSS = 1.5


@dataclasses.dataclass(frozen=True)
class Target:
    """One measure of one row: how the library compares with the best peer."""

    row: str
    measure: str
    peer: str
    ratio: float  # Below 1 the library is better than every peer.


def default_library(libraries):
    """The library of this repository among the names of a run, or None."""
    return next((name for name in ("spanmalloc", "ours") if name in libraries), None)


def targets(summary, ours, measure):
    """The targets of a measure in the order of the rows; rows without a peer are left out."""
    peers = [library for library in summary.libraries if library != ours]
    found = []
    for group in summary.groups(measure):
        for row in summary.rows(group, measure):
            peer = summary.best(row, measure, peers) if peers else None
            if peer is None or not summary.ran(row, ours):
                continue
            ratio = summary.figure(row, ours, measure) / summary.figure(row, peer, measure)
            found.append(Target(row, measure, peer, ratio))
    return found


def above(summary, library, measure, limit):
    """In how many rows the library's ratio to the best of the row is above the limit."""
    ratios = (summary.ratio_to_best(row, library, measure) for row in summary.rows(None, measure))
    return sum(1 for ratio in ratios if ratio is not None and ratio > limit)
