"""Draw the ten figures of docs/concepts/leakage-in-ten-figures.md; ``--check`` only compares.

Each shows who is in which set, and what the leak makes of labels that are pure chance, where an
honest number is 0.50. The numbers are measured here, on made-up people, with simple classifiers.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray

from clinicadl.draws import generator

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images" / "leakage"
COLOURS = {"t": "#4c78a8", "v": "#f2a541", "e": "#54a24b", ".": "#e4e4e4", "c": "#8f6bb3"}
NAMES = {"t": "train", "v": "validation", "e": "test", "c": "chosen on"}
RED, TEXT = "#d62728", "#333333"
N_PEOPLE, N_FEATURES, N_DRAWS = 80, 60, 200
Numbers = NDArray[np.float64]


class Figures(NamedTuple):
    """One figure: who is where, and what is measured."""

    name: str
    rows: tuple[tuple[str, str], ...]
    """Label of a row, and a letter a person, of `NAMES` or a point; capitals leak."""
    honest: float
    leaking: float
    what: str
    """What the leaking number is called."""


def study(draw: np.random.Generator, n: int = N_PEOPLE) -> tuple[Numbers, Numbers]:
    """Return heads that have nothing to do with labels, and the labels."""
    return draw.normal(size=(n, N_FEATURES)), draw.integers(0, 2, n).astype(np.float64)


def nearest(train: Numbers, labels: Numbers, test: Numbers) -> Numbers:
    """Return the label of the nearest of train for each of test."""
    squares = (test**2).sum(1)[:, None] + (train**2).sum(1)[None] - 2 * test @ train.T
    return labels[squares.argmin(1)]


def fitted(x: Numbers, y: Numbers, weights: Numbers, n_steps: int) -> Numbers:
    """Return the weights of a logistic regression after some steps of descent."""
    for _ in range(n_steps):
        odds = 1 / (1 + np.exp(-(x @ weights)))
        weights = weights - 0.5 * x.T @ (odds - y) / len(y)
    return weights


def accuracy(x: Numbers, y: Numbers, weights: Numbers) -> float:
    """Return the accuracy of a logistic regression."""
    return float(((x @ weights > 0) == y).mean())


def items_divided(n_items: int, noise: float, *, by_person: bool) -> Callable[..., float]:
    """Return the accuracy where several items of each person are divided at random."""

    def measured(draw: np.random.Generator) -> float:
        heads, labels = study(draw)
        person = np.repeat(np.arange(N_PEOPLE), n_items)
        items = heads[person] + noise * draw.normal(size=(len(person), N_FEATURES))
        key = draw.permutation(N_PEOPLE)[person] if by_person else draw.permutation(len(person))
        test = key < key.max() * 0.25
        said = nearest(items[~test], labels[person[~test]], items[test])
        return float((said == labels[person[test]]).mean())

    return measured


def trained_on_test(share: float) -> Callable[..., float]:
    """Return the accuracy on a test set of which a share was in train."""

    def measured(draw: np.random.Generator) -> float:
        heads, labels = study(draw)
        n_test = N_PEOPLE // 4
        test = np.arange(N_PEOPLE) < n_test
        train = ~test | (np.arange(N_PEOPLE) < share * n_test)
        again = heads[test] + 0.5 * draw.normal(size=(n_test, N_FEATURES))
        said = nearest(heads[train], labels[train], again)
        return float((said == labels[test]).mean())

    return measured


def started_from_source(share: float) -> Callable[..., float]:
    """Return the accuracy on a test set of which the source of the weights had seen a share."""

    def measured(draw: np.random.Generator) -> float:
        heads, labels = study(draw)
        n_test = N_PEOPLE // 4
        test = np.arange(N_PEOPLE) < n_test
        seen = ~test | (np.arange(N_PEOPLE) < share * n_test)
        source = fitted(heads[seen], labels[seen], np.zeros(N_FEATURES), 500)
        model = fitted(heads[~test], labels[~test], source, 50)
        return accuracy(heads[test], labels[test], model)

    return measured


def features_chosen(*, on_everybody: bool) -> Callable[..., float]:
    """Return the accuracy where 20 of 5,000 features are chosen first."""

    def measured(draw: np.random.Generator) -> float:
        heads = draw.normal(size=(N_PEOPLE, 5000))
        labels = draw.integers(0, 2, N_PEOPLE).astype(np.float64)
        test = np.arange(N_PEOPLE) < N_PEOPLE // 4
        looked = np.ones(N_PEOPLE, bool) if on_everybody else ~test
        gap = heads[looked & (labels == 1)].mean(0) - heads[looked & (labels == 0)].mean(0)
        best = np.argsort(-np.abs(gap))[:20]
        model = fitted(heads[~test][:, best], labels[~test], np.zeros(20), 100)
        return accuracy(heads[test][:, best], labels[test], model)

    return measured


def scaled(*, on_everybody: bool) -> Callable[..., float]:
    """Return the accuracy where the features are standardised first."""

    def measured(draw: np.random.Generator) -> float:
        heads, labels = study(draw)
        test = np.arange(N_PEOPLE) < N_PEOPLE // 4
        looked = np.ones(N_PEOPLE, bool) if on_everybody else ~test
        scaled_heads = (heads - heads[looked].mean(0)) / heads[looked].std(0)
        model = fitted(scaled_heads[~test], labels[~test], np.zeros(N_FEATURES), 100)
        return accuracy(scaled_heads[test], labels[test], model)

    return measured


def best_of(n_looks: int, n_test: int = 40) -> Callable[..., float]:
    """Return the best accuracy of several models that know nothing, on one test set."""

    def measured(draw: np.random.Generator) -> float:
        return float(draw.binomial(n_test, 0.5, n_looks).max()) / n_test

    return measured


def mean_of(purpose: str, measured: Callable[..., float]) -> float:
    """Return what is measured, over draws of people and labels, to two digits."""
    draws = [measured(generator(0, f"figure/{purpose}", sample=i)) for i in range(N_DRAWS)]
    return round(float(np.mean(draws)), 2)


def figures() -> tuple[Figures, ...]:
    """Return the ten figures in their order, measured."""
    visits = {share: items_divided(2, 0.6, by_person=share) for share in (True, False)}
    slices = {share: items_divided(12, 0.6, by_person=share) for share in (True, False)}
    copies = {share: items_divided(4, 0.3, by_person=share) for share in (True, False)}
    chosen = {share: features_chosen(on_everybody=share) for share in (True, False)}
    looks = "tttttttttEEE"
    return (
        _figure("1-visits", "visits divided", visits[True], visits[False],
                {"first visit": "tttttttettet", "second visit": "tettett.ette"}),
        _figure("2-slices", "slices divided", slices[True], slices[False],
                {"slice 1": "tetteetttett", "slice 2": "ettttettettt", "slice 3": "tteettetttte"}),
        _figure("3-copies", "copies divided", copies[True], copies[False],
                {"image": "tttteettttet", "turned": "ettttttetett", "with noise": "ttettettttte"}),
        _figure("4-late-split", "2 of 3 in folds", trained_on_test(0), trained_on_test(2 / 3),
                {"set apart first": ".........eee", "folds of many": "vvtttttttt.v"}),
        _figure("5-transfer", "source saw test", started_from_source(0), started_from_source(1),
                {"source": "tttttt...ttt", "this model": "ttttttvvveee"}),
        _figure("6-sub-labels", "half of test seen", started_from_source(0),
                started_from_source(0.5),
                {"MCI": "ttttttttteee", "sMCI, pMCI": "tttteetttvee"}),
        _figure("7-two-names", "4 of 10 twice", trained_on_test(0), trained_on_test(0.4),
                {"one head each?": "tTttTttteEEe"}),
        _figure("8-features", "chosen on all", chosen[False], chosen[True],
                {"features": "cccccccccccc", "model": "ttttttttteee"}),
        _figure("9-best-epoch", "best of 100", best_of(1), best_of(100),
                {"weights": "ttttttttt...", "epoch": ".........ccc", "judged": ".........eee"}),
        _figure("10-looks", "best of 20 looks", best_of(1), best_of(20),
                {"model 1": looks.lower(), "model 2": looks, "…": looks, "model 20": looks}),
    )  # fmt: skip


def _figure(
    name: str,
    what: str,
    honest: Callable[..., float],
    leaking: Callable[..., float],
    rows: dict[str, str],
) -> Figures:
    """Return a figure; whoever is in test and in anything else leaks."""
    columns = [
        "".join(column).upper() if "e" in column and {"t", "v", "c"} & {*column} else column
        for column in zip(*rows.values(), strict=True)
    ]
    marked = ("".join(letters) for letters in zip(*columns, strict=True))
    return Figures(
        name,
        tuple(zip(rows, marked, strict=True)),
        mean_of(f"{name}/honest", honest),
        mean_of(name, leaking),
        what,
    )


def drawn(one: Figures) -> bytes:
    """Return a figure as SVG, the same bytes each time."""
    figure = Figure(figsize=(7.6, 0.62 + 0.46 * max(len(one.rows), 3)), layout="none")
    people = figure.add_axes((0.0, 0.0, 0.66, 1.0))
    _people(people, one)
    bars = figure.add_axes((0.80, 0.2, 0.18, 0.66))
    _bars(bars, one)
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": one.name, "svg.fonttype": "none", "font.size": 9}):
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    text = "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
    return (text + "\n").encode()


def _people(axes: Axes, one: Figures) -> None:
    n = len(one.rows[0][1])
    height = max(len(one.rows), 3)
    axes.set(xlim=(-4.6, n + 0.2), ylim=(-0.9, height + 0.45))
    axes.set_axis_off()
    top = height - (height - len(one.rows)) / 2 - 1
    for number, (label, letters) in enumerate(one.rows):
        y = top - number
        axes.text(-0.4, y + 0.4, label, ha="right", va="center", color=TEXT)
        for x, letter in enumerate(letters):
            colour = COLOURS[letter.lower()]
            box = FancyBboxPatch(
                (x + 0.14, y + 0.04), 0.72, 0.72, boxstyle="round,pad=0,rounding_size=0.2",
                facecolor=colour, edgecolor=RED if letter.isupper() else colour,
                linewidth=2.2 if letter.isupper() else 0,
            )  # fmt: skip
            axes.add_patch(box)
    if len(one.rows) == 1:
        letters = one.rows[0][1]
        ends = ([x for x, letter in enumerate(letters) if letter == key] for key in "TE")
        for start, stop in zip(*ends, strict=True):
            arc = FancyArrowPatch(
                (start + 0.5, top + 0.78), (stop + 0.5, top + 0.78), arrowstyle="-", color=RED,
                connectionstyle="arc3,rad=-0.25", linewidth=1.4,
            )  # fmt: skip
            axes.add_patch(arc)
    used = [key for key in "tvec" if any(key in row.lower() for _, row in one.rows)]
    x = 0.2
    for key in used:
        axes.scatter(x, -0.55, s=34, color=COLOURS[key])
        axes.text(x + 0.35, -0.55, NAMES[key], va="center", color=TEXT, fontsize=8)
        x += 1.5 + 0.2 * len(NAMES[key])
    axes.scatter(x, -0.55, s=34, facecolor="none", edgecolor=RED, linewidth=1.8)
    axes.text(x + 0.35, -0.55, "leaks", va="center", color=TEXT, fontsize=8)


def _bars(axes: Axes, one: Figures) -> None:
    axes.barh([1, 0], [one.honest, one.leaking], color=["#9aa0a6", RED], height=0.62)
    axes.set(xlim=(0, 1), ylim=(-0.6, 1.6), yticks=[1, 0], xticks=[0, 0.5, 1])
    axes.set_yticklabels(["honest", one.what], color=TEXT, fontsize=8)
    axes.tick_params(length=0, labelsize=8, colors=TEXT)
    axes.axvline(0.5, color=TEXT, linewidth=0.8, linestyle=":")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title("accuracy, chance labels", fontsize=8, color=TEXT)
    for y, value in ((1, one.honest), (0, one.leaking)):
        axes.text(value - 0.03, y, f"{value:.2f}", ha="right", va="center", color="white")


def main() -> int:
    """Draw all figures, or say with exit code 1 that one is not as it would be drawn."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    behind = []
    for one in figures():
        path, content = FOLDER / f"{one.name}.svg", drawn(one)
        if "--check" not in sys.argv:
            path.write_bytes(content)
        elif not path.exists() or path.read_bytes() != content:
            behind.append(path.name)
    for name in behind:
        print(f"docs/images/leakage/{name} is behind: run python scripts/docs_figures.py")
    return int(bool(behind))


if __name__ == "__main__":
    sys.exit(main())
