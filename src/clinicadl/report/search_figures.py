"""The figures of the page of a search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log10
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clinicadl.layouts.search import Trial, curves
from clinicadl.report.figures import INK, MUTED, STYLE, TRAIN, VALIDATION, Drawn, axes_of, drawn
from clinicadl.search.found import Found
from clinicadl.statistics.importance import Importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_AXES = 9
"""Settings that parallel coordinates show."""
_WIDE = 50.0
"""Ratio of the greatest and the least number from which on their logarithms are shown."""
_MARKS = {"complete": "o", "pruned": "x", "failed": "s", "running": ".", "waiting": "."}
_COLOURS = "viridis"


class _Axis(NamedTuple):
    """Where the values of one setting lie, from 0 to 1."""

    name: str
    place_of: Mapping[int, float]
    """Trial -> place; absent where the trial does not have the setting."""
    ticks: tuple[tuple[float, str], ...]


def all_of(found: Found, important: Sequence[Importance]) -> Iterator[Drawn]:
    """Yield the figures of a search, in their order.

    Parameters
    ----------
    found
        The search.
    important
        Settings, the most important first.
    """
    from matplotlib import rc_context

    with rc_context(STYLE):  # type: ignore[arg-type]  # it is known by its own names only
        valued = [one for one in found.trials if one.value is not None]
        if valued:
            yield _history(found, valued)
        # Settings that few trials have stand on the left, where they interrupt no line.
        of_all = sorted(important[:MOST_AXES], key=lambda one: -one.n_trials)
        shown = [one.name for one in of_all]
        if valued and shown:
            yield _parallel(found, valued, shown)
        if important:
            yield _importances(important)
        logs = [(one, curves(one)) for one in found.trials if one.maps.is_dir()]
        column = f"{found.metric}_valid"
        known = [(one, log) for one, log in logs if column in log]
        if known:
            yield _curves(found, known, column)


def _history(found: Found, valued: Sequence[Trial]) -> Drawn:
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = axes_of(1, width=6.5, height=2.6)
    for state, mark in _MARKS.items():
        some = [one for one in valued if one.state == state]
        if some:
            axes.plot(
                [one.number for one in some], [one.value or 0.0 for one in some], mark, ms=4,
                color=TRAIN if state == "complete" else MUTED, label=state, ls="",
            )  # fmt: skip
    complete = [one for one in valued if one.state == "complete"]
    if complete:
        numbers = [one.number for one in complete]
        best = (np.maximum if found.is_higher_better else np.minimum).accumulate(
            [one.value or 0.0 for one in complete]
        )
        axes.step([*numbers, len(found.trials) - 1], [*best, best[-1]], where="post",
                  color=VALIDATION, label="best so far")  # fmt: skip
    axes.set(xlabel="trial", ylabel=f"{found.metric} of validation")
    _scale(axes, [one.value or 0.0 for one in valued])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn(
        figure, "history",
        f"The {found.metric} of each trial, and the best so far. The more trials, the more of the "
        "best is luck.",
    )  # fmt: skip


def _parallel(found: Found, valued: Sequence[Trial], names: Sequence[str]) -> Drawn:
    from matplotlib import colormaps

    every = [_axis(name, {one.number: one.settings[name] for one in valued if name in one.settings})
             for name in reversed(names)]  # fmt: skip
    every.append(_axis(found.metric, {one.number: one.value for one in valued}))
    figure, (axes,) = axes_of(1, width=max(4.5, 1.15 * len(every) + 1.0), height=3.6)
    last = every[-1].place_of
    colours = colormaps[_COLOURS]
    best = found.best
    for one in sorted(valued, key=lambda one: (one is best, last[one.number])):
        # A setting that the trial does not have interrupts its line.
        line = [axis.place_of.get(one.number, np.nan) for axis in every]
        good = last[one.number] if found.is_higher_better else 1 - last[one.number]
        style: dict[str, Any] = {"color": colours(0.95 * (1 - good)), "lw": 1.1, "alpha": 0.75}
        if one.state != "complete":
            style = {"color": MUTED, "lw": 0.7, "ls": ":", "alpha": 0.8}
        if one is best:
            style = {"color": VALIDATION, "lw": 2.4, "zorder": 4}
        axes.plot(range(len(every)), line, marker="o", ms=2.5, **style)
    for place, axis in enumerate(every):
        _upright(axes, place, axis)
    axes.set(xlim=(-0.15, len(every) - 0.6), ylim=(-0.06, 1.06), yticks=[])
    axes.set_xticks(
        range(len(every)), [_short(axis.name) for axis in every], rotation=15, ha="right"
    )
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(bottom=False)
    return drawn(
        figure, "parallel",
        "Each line is a trial, dark ones are the better; the thick one is the best, dotted ones "
        "were not trained to their end. The settings with the most importance stand on the right, "
        "those that not all trials have on the left, where their lines begin later.",
    )  # fmt: skip


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Show the logarithm of numbers that span decades, such as losses."""
    if _spans_decades(values):
        axes.set_yscale("log")


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values, default=0.0) > 0 and max(values) / min(values) >= _WIDE


def _upright(axes: Axes, place: int, axis: _Axis) -> None:
    axes.axvline(place, color=MUTED, lw=0.8, zorder=0)
    for where, text in axis.ticks:
        axes.text(
            place + 0.03, where, text, fontsize=7, color=INK, va="center", zorder=5,
            bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.6},
        )  # fmt: skip


def _axis(name: str, values: Mapping[int, Any]) -> _Axis:
    """Return where values lie: numbers by their size or its logarithm, others evenly."""
    given = list(values.values())
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in given):
        is_log = _spans_decades(given)
        numbers = {who: log10(one) if is_log else float(one) for who, one in values.items()}
        low, high = min(numbers.values()), max(numbers.values())
        span = (high - low) or 1.0
        places = {who: (one - low) / span if high > low else 0.5 for who, one in numbers.items()}
        marks = np.linspace(low, high, 3) if high > low else np.array([low])
        ticks = tuple(
            ((float(one) - low) / span if high > low else 0.5,
             f"{10**one if is_log else one:.3g}")
            for one in marks
        )  # fmt: skip
        return _Axis(name, places, ticks)
    known = sorted({str(one) for one in given})
    span = max(len(known) - 1, 1)
    of_name = {one: place / span if len(known) > 1 else 0.5 for place, one in enumerate(known)}
    return _Axis(
        name,
        {who: of_name[str(one)] for who, one in values.items()},
        tuple((place, text[:14]) for text, place in of_name.items()),
    )


def _short(name: str) -> str:
    """Return a setting without its section."""
    return name.partition(".")[2] or name


def _importances(important: Sequence[Importance]) -> Drawn:
    figure, (axes,) = axes_of(1, width=6.0, height=0.7 + 0.24 * len(important))
    ordered = [*reversed(important)]
    axes.barh(
        range(len(ordered)), [one.share for one in ordered], height=0.6,
        color=[TRAIN if one.p < 0.05 else MUTED for one in ordered],
    )  # fmt: skip
    axes.set_yticks(range(len(ordered)), [one.name for one in ordered])
    axes.set(xlim=(0, 1), xlabel="share of the differences between trials")
    return drawn(
        figure, "importance",
        "How much of the differences in rank between the trials goes with each setting by itself, "
        "beyond what chance gives (epsilon squared of Kruskal and Wallis); grey where it may be "
        "none (p of 0.05 or more, corrected for the number of settings).",
    )  # fmt: skip


def _curves(found: Found, logs: Sequence[tuple[Trial, Any]], column: str) -> Drawn:
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = axes_of(1, width=6.5, height=3.0)
    best = found.best
    for one, log in sorted(logs, key=lambda pair: pair[0] == best):
        mean = log.groupby("epoch")[column].mean()
        is_best = best is not None and one.number == best.number
        style: dict[str, Any] = {"color": TRAIN, "lw": 0.9, "alpha": 0.55}
        if one.state != "complete":
            style = {"color": MUTED, "lw": 0.9, "ls": ":", "alpha": 0.9}
        if is_best:
            style = {"color": VALIDATION, "lw": 2.2, "label": f"best: {one.maps.name}"}
        axes.plot(mean.index, mean.to_numpy(), **style)
        if one.state != "complete" or len(mean) == 1:
            axes.plot(mean.index[-1], mean.iloc[-1], _MARKS[one.state], ms=4, color=style["color"])
    axes.set(xlabel="epoch", ylabel=f"{found.metric} of validation")
    _scale(axes, [value for _, log in logs for value in log[column].dropna()])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if best is not None:
        axes.legend()
    return drawn(
        figure, "curves",
        f"The {found.metric} of validation after each epoch, as mean over the splits that have "
        "it, of each trial; dotted where it was not trained to its end: a cross where it was "
        "pruned, a square where it failed.",
    )  # fmt: skip
