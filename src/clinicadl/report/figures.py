"""The figures of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.config.task import Regression
from clinicadl.report.decisions import Decision
from clinicadl.report.results import Result, classes, positive_node
from clinicadl.report.story import Beside, Curves, Story
from clinicadl.tasks.base import TRUE_LABEL
from clinicadl.tasks.judging import columns_of, confusions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, TRAIN, VALIDATION = "#1f2a37", "#8a94a3", "#3b6ea8", "#c2571a"
_COLOURS = (TRAIN, VALIDATION, "#4d8b57", "#8e5aa8", "#a8873b", "#5a9aa8")
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "clinicadl", "font.family": "sans-serif",
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.titlesize": 9, "axes.titlecolor": INK, "legend.frameon": False, "legend.fontsize": 8,
}  # fmt: skip
_MOST_EPOCHS_WITH_DOTS = 30


class Drawn(NamedTuple):
    """A figure as it is shown and kept."""

    name: str
    caption: str
    svg: str
    png: bytes


def all_of(told: Story, results: Sequence[Result]) -> Iterator[Drawn]:
    """Yield the figures of a report, in their order.

    Parameters
    ----------
    told
        What the report says.
    results
        Those that are drawn.
    """
    from matplotlib import rc_context

    task, named = told.record.config.task, classes(told.record)
    labels = task.labels if isinstance(task, Regression) else ()
    with rc_context(STYLE):  # type: ignore[arg-type]  # it is known by its own names only
        if told.curves:
            yield _learning(told.curves)
        for group in dict.fromkeys(one.group for one in results):
            some = [one for one in results if one.group == group and one.is_labelled]
            if some and named:
                both = [one for one in some if one.predictions[TRUE_LABEL].nunique() == 2]
                if len(named) == 2 and both:
                    yield _roc(group, both, named)
                yield _confusion(group, some, named)
            elif some:
                for label, columns in zip(labels, columns_of(labels), strict=True):
                    yield regression(group, some, label, columns)
            decisions = [one for one in told.decisions if one.group == group]
            if decisions:
                yield _reliability(group, decisions)
            apart = [one for one in told.compared.subgroups if one.group == group]
            if apart:
                yield _subgroups(group, apart)


def _learning(curves: Sequence[Curves]) -> Drawn:
    from matplotlib.ticker import MaxNLocator

    figure, rows = axes_of(len(curves), width=3.1, height=2.3)
    for one, axes in zip(curves, rows, strict=True):
        ends = one.log.drop_duplicates("epoch", keep="last")
        mark = "o" if len(ends) <= _MOST_EPOCHS_WITH_DOTS else ""
        for column, colour, name in (
            ("loss_train", TRAIN, "train"), ("loss_valid", VALIDATION, "validation"),
        ):  # fmt: skip
            axes.plot(ends["epoch"], ends[column], color=colour, marker=mark, ms=3, label=name)
        best = int(ends["epoch"].iloc[int(np.nanargmin(ends["loss_valid"]))])
        axes.axvline(best, color=MUTED, lw=0.8, ls=":")
        network = "" if one.network is None else f", network {one.network}"
        axes.set(title=f"split {one.split}{network}", xlabel="epoch", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    rows[0].legend()
    return drawn(
        figure, "learning",
        "Loss of train and validation after each epoch, in evaluation mode; the dotted line is the "
        "epoch whose validation loss is least.",
    )  # fmt: skip


def roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the points of a ROC curve, (false positive rate, true positive rate), shape (n, 2).

    Equal scores make one step, so that the area under the straight lines between the points is the
    probability that a positive one scores higher, ties counting a half.

    Parameters
    ----------
    scores
        Greater for positive ones, shape (n,).
    positive
        Whether each is, shape (n,); some are, and some are not.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[ends]
    alarms = ends + 1 - hits
    points = np.stack([alarms / (~positive).sum(), hits / positive.sum()], axis=1)
    return np.concatenate([np.zeros((1, 2)), points])


def _roc(group: str, results: Sequence[Result], classes: Mapping[int, str]) -> Drawn:
    figure, (axes,) = axes_of(1, width=3.3, height=3.1)
    positive = positive_node(results[0], classes)
    for number, one in enumerate(results):
        is_positive = one.predictions[TRUE_LABEL].to_numpy() == positive
        points = roc(one.predictions[f"proba{positive}"].to_numpy(), is_positive)
        area = np.trapezoid(points[:, 1], points[:, 0])
        axes.plot(
            points[:, 0], points[:, 1], color=_COLOURS[number % len(_COLOURS)],
            label=f"{one.model}: AUC {area:.3f}",
        )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title=group, aspect="equal")
    axes.legend(loc="lower right")
    return drawn(
        figure, f"roc-{group}",
        f"ROC curves on {group} for {classes[positive]}, images as samples; the dotted line is "
        "chance.",
    )  # fmt: skip


def _confusion(group: str, results: Sequence[Result], classes: Mapping[int, str]) -> Drawn:
    figure, rows = axes_of(len(results), width=2.6, height=2.5)
    names = list(classes.values())
    for one, axes in zip(results, rows, strict=True):
        table = confusions(one.predictions, len(names)).sum(0)
        axes.imshow(
            table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1
        )
        for (true, said), n in np.ndenumerate(table):
            dark = n > 0.5 * table[true].sum()
            axes.text(said, true, f"{n}", ha="center", va="center", color="w" if dark else INK)
        axes.set(
            xticks=range(len(names)), yticks=range(len(names)), xticklabels=names,
            yticklabels=names, xlabel="said", ylabel="true",
            title=one.model,
        )  # fmt: skip
    return drawn(
        figure, f"confusion-{group}",
        f"Images of {group} by their class and by what the model said; shades are shares of a row.",
    )  # fmt: skip


def regression(
    group: str, results: Sequence[Result], label: str, columns: tuple[str, str]
) -> Drawn:
    """Return scatter and residuals of one label of a regression.

    Parameters
    ----------
    group
        Name of the data group.
    results
        Those on it.
    label
        What was learnt.
    columns
        Its truth and its prediction in the tables.
    """
    figure, rows = axes_of(2 * len(results), width=2.4, height=2.4, in_a_row=4)
    for number, one in enumerate(results):
        true, said = (one.predictions[name].to_numpy() for name in columns)
        scatter, residuals = rows[2 * number : 2 * number + 2]
        scatter.scatter(true, said, s=12, color=TRAIN, alpha=0.7, lw=0)
        low, high = min(true.min(), said.min()), max(true.max(), said.max())
        scatter.plot([low, high], [low, high], color=MUTED, lw=0.8, ls=":")
        title = one.model
        scatter.set(xlabel=f"true {label}", ylabel=f"said {label}", title=title)
        residuals.scatter(true, said - true, s=12, color=VALIDATION, alpha=0.7, lw=0)
        residuals.axhline(0, color=MUTED, lw=0.8, ls=":")
        residuals.set(xlabel=f"true {label}", ylabel="said - true", title="residuals")
    return drawn(
        figure, f"regression-{group}" if columns[0] == TRUE_LABEL else f"{label}-{group}",
        f"What the models said of {label} in {group} against the truth, and the residuals; a slope "
        "in these is a pull towards the mean of train.",
    )  # fmt: skip


def _reliability(group: str, decisions: Sequence[Decision]) -> Drawn:
    figure, rows = axes_of(len(decisions), width=2.9, height=2.8)
    for one, axes in zip(decisions, rows, strict=True):
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
        for curve, colour, name in zip(
            one.curves, (TRAIN, VALIDATION), ("as it is", "with temperature"), strict=True
        ):
            off = np.abs(curve[["low", "high"]].to_numpy().T - curve["share_right"].to_numpy())
            axes.errorbar(
                curve["confidence"], curve["share_right"], yerr=off, color=colour, fmt="o-", ms=3,
                lw=1, elinewidth=0.6, label=name,
            )  # fmt: skip
        least = min(float(curve["confidence"].min()) for curve in one.curves)
        axes.set(
            xlabel="how sure it was", ylabel="share that was right", xlim=(least - 0.03, 1.03),
            ylim=(-0.03, 1.03), title=one.model,
        )  # fmt: skip
    rows[0].legend(loc="lower right")
    return drawn(
        figure, f"calibration-{group}",
        f"Calibration on {group}: bins of as many images each, with exact 95 % intervals that take "
        "images for independent. On the dotted line it is as often right as it says. The "
        "temperature is that of validation.",
    )  # fmt: skip


def _subgroups(group: str, apart: Sequence[Beside]) -> Drawn:
    first = apart[0].rows[0].metric
    models = list(dict.fromkeys(one.model for one in apart))
    most = max(sum(one.model == model for one in apart) for model in models)
    figure, rows = axes_of(len(models), width=3.6, height=1.0 + 0.22 * 2 * most)
    bounds = [(row.first_low, row.first_high) for one in apart for row in one.rows[:1]]
    lows, highs = zip(*bounds, strict=True)
    margin = 0.05 * (np.nanmax(highs) - np.nanmin(lows)) or 1.0
    for model, axes in zip(models, rows, strict=True):
        lines = [one for one in apart if one.model == model]
        shown: dict[str, tuple[float, float, float]] = {}
        for row, name in ((one.rows[0], one.name) for one in lines):
            shown[name] = (row.first_value, row.first_low, row.first_high)
            if not row.second.startswith("not "):
                shown[row.second] = (row.second_value, row.second_low, row.second_high)
        for place, (value, low, high) in enumerate(reversed(shown.values())):
            axes.plot([low, high], [place, place], color=TRAIN, lw=1.2)
            axes.plot(value, place, "o", color=TRAIN, ms=4)
        axes.set(xlabel=first, title=model, ylim=(-0.7, len(shown) - 0.3))
        axes.set_xlim(np.nanmin(lows) - margin, np.nanmax(highs) + margin)
        axes.set_yticks(range(len(shown)), [*reversed(shown)])
    return drawn(
        figure, f"subgroups-{group}",
        f"{first} of subgroups of {group}, with 95 % intervals over participants; the tests are in "
        "the tables.",
    )  # fmt: skip


def axes_of(n: int, *, width: float, height: float, in_a_row: int = 3) -> tuple[Figure, list[Axes]]:
    """Return a figure with n axes; width and height of each in inches."""
    from matplotlib.figure import Figure

    columns = min(n, in_a_row)
    n_rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * n_rows), layout="constrained")
    every = [axes for row in figure.subplots(n_rows, columns, squeeze=False) for axes in row]
    for axes in every[n:]:
        axes.set_axis_off()
    return figure, every[:n]


def drawn(figure: Figure, name: str, caption: str) -> Drawn:
    """Return a figure as it is shown and kept; the same figure is the same bytes."""
    svg, png = BytesIO(), BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=200)
    text = svg.getvalue().decode("utf-8")
    return Drawn(name, caption, text[text.index("<svg") :], png.getvalue())
