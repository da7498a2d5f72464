# SPDX-License-Identifier: Apache-2.0
"""SVG files: grouped bars, one file per measure and one panel per group of rows; the same of the
microbenchmarks; lines of the percentiles of latency."""

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


def _bars(axes, names, libraries, ratio):
    """Draws a group of bars for each name; without ratio(name, library) there is no bar."""
    width = 0.8 / len(libraries)
    for index, library in enumerate(libraries):
        ratios = [ratio(name, library) or 0 for name in names]
        places = [place + (index - (len(libraries) - 1) / 2) * width
                  for place in range(len(names))]
        axes.bar(places, [min(value, _HIGHEST_BAR) for value in ratios], width, label=library,
                 color=color(index))
        for place, value in zip(places, ratios):
            if value > _HIGHEST_BAR:
                shown = f"{value:.1f}" if value < 100 else f"{value:.0f}"
                axes.text(place, _HIGHEST_BAR, shown, ha="center", va="bottom", fontsize=6,
                          rotation=90)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.set_ylim(0, _HIGHEST_BAR * 1.12)
    axes.margins(x=0.01)


def _finish(figure, axes, title, path):
    """The legend, the title, the file."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, ncols=len(labels), loc="upper right", frameon=False)
    figure.suptitle(f"{title}: lower is better", x=0.01, ha="left")
    figure.tight_layout()
    save(figure, path)
    return path


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
    """Writes time.svg, cpu.svg, rss.svg and, of rows of that kind, latency.svg; their paths."""
    paths = []
    for measure, title in _TITLES.items():
        groups = summary.groups(measure)
        if not groups:
            continue
        figure, panels = pyplot.subplots(
            len(groups), 1, figsize=(12, 3.2 * len(groups)), squeeze=False)
        for axes, group in zip(panels[:, 0], groups):
            _bars(axes, summary.rows(group, measure), summary.libraries,
                  lambda row, library, measure=measure: summary.ratio(row, library, measure))
            axes.set_ylabel(f"ratio to {summary.baseline}")
            axes.set_title(GROUPS[group], fontsize=10, loc="left")
        path = os.path.join(folder, {"wall": "time"}.get(measure, measure) + ".svg")
        paths.append(_finish(figure, panels[0, 0], title, path))
    if summary.rows("latency"):
        paths.append(_write_latency(summary, folder))
    return paths


def write_micro(ratios, libraries, folder):
    """Writes micro.svg: benchmark -> library -> ratio to the best. Returns its path."""
    names = list(ratios)
    half = (len(names) + 1) // 2
    figure, panels = pyplot.subplots(2, 1, figsize=(15, 6.4), squeeze=False)
    for axes, part in zip(panels[:, 0], (names[:half], names[half:])):
        _bars(axes, part, libraries, lambda name, library: ratios[name].get(library))
        axes.set_ylabel("ratio to the best")
    return _finish(figure, panels[0, 0], "CPU time of one operation",
                   os.path.join(folder, "micro.svg"))


def _percentile(metric):
    """Where the figure belongs among others: malloc_p99.9_ns at 99.9, the maximum last."""
    name = metric.split("_")[1]
    return 100 if name == "max" else float(name.removeprefix("p"))


def _write_latency(summary, folder):
    """A panel for each row and function: nanoseconds by percentile."""
    panels_of = [(row, function) for row in summary.rows("latency")
                 for function in ("malloc", "free")]
    figure, panels = pyplot.subplots(1, len(panels_of), figsize=(4.5 * len(panels_of), 4.5),
                                     squeeze=False, sharey=True)
    for axes, (row, function) in zip(panels[0], panels_of):
        prefix = function + "_"
        metrics = sorted((name for of_row, name in summary.metrics("latency")
                          if of_row == row and name.startswith(prefix)), key=_percentile)
        for index, library in enumerate(summary.libraries):
            values = [summary.median_metric(row, library, name) for name in metrics]
            shown = [(place, max(1, value)) for place, value in enumerate(values)
                     if value is not None]
            axes.plot(*zip(*shown), label=library, color=color(index), marker=".", linewidth=1)
        axes.set_yscale("log")
        axes.set_xticks(range(len(metrics)),
                        [name.removeprefix(prefix).removesuffix("_ns") for name in metrics],
                        rotation=30, ha="right", fontsize=8)
        axes.set_title(f"{function}, {row}", fontsize=10, loc="left")
    panels[0, 0].set_ylabel("ns")
    return _finish(figure, panels[0, 0], "Latency of single calls",
                   os.path.join(folder, "latency.svg"))
