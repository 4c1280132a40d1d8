"""The figures of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinicadl.report.story import Curves, Result
from clinicadl.tasks.base import TRUE_LABEL
from clinicadl.tasks.judging import columns_of, confusions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, TRAIN, VALIDATION = "#1f2a37", "#8a94a3", "#3b6ea8", "#c2571a"
_COLOURS = (TRAIN, VALIDATION, "#4d8b57", "#8e5aa8", "#a8873b", "#5a9aa8")
_STYLE = {
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


def all_of(
    curves: Sequence[Curves],
    results: Sequence[Result],
    classes: Mapping[int, str],
    labels: Sequence[str],
) -> Iterator[Drawn]:
    """Yield the figures of a report, in their order.

    Parameters
    ----------
    curves
        Of every network.
    results
        Those that are drawn.
    classes
        Node -> class; empty where the task has none.
    labels
        What a regression has learnt; empty elsewhere.
    """
    from matplotlib import rc_context

    with rc_context(_STYLE):  # type: ignore[arg-type]  # it is known by its own names only
        if curves:
            yield _learning(curves)
        for group in dict.fromkeys(one.group for one in results):
            some = [one for one in results if one.group == group and one.is_labelled]
            if some and classes:
                both = [one for one in some if one.predictions[TRUE_LABEL].nunique() == 2]
                if len(classes) == 2 and both:
                    yield _roc(group, both, classes)
                yield _confusion(group, some, classes)
            elif some:
                for label, columns in zip(labels, columns_of(labels), strict=True):
                    yield _regression(group, some, label, columns)


def _learning(curves: Sequence[Curves]) -> Drawn:
    from matplotlib.ticker import MaxNLocator

    figure, rows = _axes(len(curves), width=3.1, height=2.3)
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
    return _drawn(
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
    figure, (axes,) = _axes(1, width=3.3, height=3.1)
    named = {name: node for node, name in classes.items()}
    positive = named.get(results[0].positive, max(classes))
    for number, one in enumerate(results):
        is_positive = one.predictions[TRUE_LABEL].to_numpy() == positive
        points = roc(one.predictions[f"proba{positive}"].to_numpy(), is_positive)
        area = np.trapezoid(points[:, 1], points[:, 0])
        axes.plot(
            points[:, 0], points[:, 1], color=_COLOURS[number % len(_COLOURS)],
            label=f"split {one.split}, by {one.chosen_by}: AUC {area:.3f}",
        )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title=group, aspect="equal")
    axes.legend(loc="lower right")
    return _drawn(
        figure, f"roc-{group}",
        f"ROC curves on {group} for {classes[positive]}, images as samples; the dotted line is "
        "chance.",
    )  # fmt: skip


def _confusion(group: str, results: Sequence[Result], classes: Mapping[int, str]) -> Drawn:
    figure, rows = _axes(len(results), width=2.6, height=2.5)
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
            title=f"split {one.split}, by {one.chosen_by}",
        )  # fmt: skip
    return _drawn(
        figure, f"confusion-{group}",
        f"Images of {group} by their class and by what the model said; shades are shares of a row.",
    )  # fmt: skip


def _regression(
    group: str, results: Sequence[Result], label: str, columns: tuple[str, str]
) -> Drawn:
    figure, rows = _axes(2 * len(results), width=2.9, height=2.7)
    for number, one in enumerate(results):
        true, said = (one.predictions[name].to_numpy() for name in columns)
        scatter, residuals = rows[2 * number : 2 * number + 2]
        scatter.scatter(true, said, s=12, color=TRAIN, alpha=0.7, lw=0)
        low, high = min(true.min(), said.min()), max(true.max(), said.max())
        scatter.plot([low, high], [low, high], color=MUTED, lw=0.8, ls=":")
        title = f"split {one.split}, by {one.chosen_by}"
        scatter.set(xlabel=f"true {label}", ylabel=f"said {label}", title=title)
        residuals.scatter(true, said - true, s=12, color=VALIDATION, alpha=0.7, lw=0)
        residuals.axhline(0, color=MUTED, lw=0.8, ls=":")
        residuals.set(xlabel=f"true {label}", ylabel="said - true", title="residuals")
    return _drawn(
        figure, f"regression-{group}" if columns[0] == TRUE_LABEL else f"{label}-{group}",
        f"What the models said of {label} in {group} against the truth, and the residuals; a slope "
        "in these is a pull towards the mean of train.",
    )  # fmt: skip


def _axes(n: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(n, 3)
    n_rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * n_rows), layout="constrained")
    every = [axes for row in figure.subplots(n_rows, columns, squeeze=False) for axes in row]
    for axes in every[n:]:
        axes.set_axis_off()
    return figure, every[:n]


def _drawn(figure: Figure, name: str, caption: str) -> Drawn:
    svg, png = BytesIO(), BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    figure.savefig(png, format="png", dpi=200)
    text = svg.getvalue().decode("utf-8")
    return Drawn(name, caption, text[text.index("<svg") :], png.getvalue())
