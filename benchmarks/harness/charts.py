# SPDX-License-Identifier: Apache-2.0
"""Grouped bars as SVG files: one file per measure, one panel per group of rows."""

import os

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402  pylint: disable=wrong-import-position

from rows import GROUPS  # noqa: E402  pylint: disable=wrong-import-position

_TITLES = {
    "wall": "Time",
    "cpu": "CPU time (user + system)",
    "rss": "Peak resident memory",
}
_HIGHEST_BAR = 4  # Longer bars are cut and labelled with their value.
_COLORS = ["#8c8c8c", "#0b6fb8", "#d95f02", "#1b9e77", "#c23b8f", "#a6761d", "#7570b3", "#444444",
           "#66a61e", "#e6ab02", "#56b4e9", "#b2182b"]


def _panel(axes, summary, measure, rows):
    """Draws the bars of the rows of one group."""
    width = 0.8 / len(summary.libraries)
    for index, library in enumerate(summary.libraries):
        # A row that the library did not finish has no bar.
        ratios = [summary.ratio(row, library, measure) or 0 for row in rows]
        places = [place + (index - (len(summary.libraries) - 1) / 2) * width
                  for place in range(len(rows))]
        axes.bar(places, [min(ratio, _HIGHEST_BAR) for ratio in ratios], width, label=library,
                 color=color(index))
        for place, ratio in zip(places, ratios):
            if ratio > _HIGHEST_BAR:
                axes.text(place, _HIGHEST_BAR, f"{ratio:.1f}", ha="center", va="bottom",
                          fontsize=6, rotation=90)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(range(len(rows)), rows, rotation=30, ha="right", fontsize=8)
    axes.set_ylim(0, _HIGHEST_BAR * 1.12)
    axes.margins(x=0.01)
    axes.set_ylabel(f"ratio to {summary.baseline}")


def color(index):
    """The color of the library at that place."""
    return _COLORS[index % len(_COLORS)]


def save(figure, path):
    """Writes a figure. Text stays text, and the same figures give the same file."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "spanmalloc"}):
        figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def write(summary, folder):
    """Writes time.svg, cpu.svg and rss.svg; returns their paths."""
    paths = []
    for measure, title in _TITLES.items():
        groups = summary.groups(measure)
        if not groups:
            continue
        figure, panels = pyplot.subplots(
            len(groups), 1, figsize=(12, 3.2 * len(groups)), squeeze=False)
        for axes, group in zip(panels[:, 0], groups):
            _panel(axes, summary, measure, summary.rows(group, measure))
            axes.set_title(GROUPS[group], fontsize=10, loc="left")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=len(labels), loc="upper right", frameon=False)
        figure.suptitle(f"{title}: lower is better", x=0.01, ha="left")
        figure.tight_layout()
        path = os.path.join(folder, {"wall": "time"}.get(measure, measure) + ".svg")
        save(figure, path)
        paths.append(path)
    return paths
