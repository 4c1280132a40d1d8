"""Does a map mean anything: does it depend on the weights, and does the output depend on it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from clinicadl import draws
from clinicadl.attribution.methods import Method, Scored

WEIGHTS, LABELS, DELETION = "weights", "labels", "deletion"
"""The tests."""
MOST_ALIKE = 0.5
"""Rank correlation with a map that learnt nothing beyond which a map says little of learning."""
SHARES = tuple(step / 10 for step in range(11))
"""Shares of the voxels that the deletion curve takes away."""
N_MOVES = 5
"""Places that a map is moved to, to know what a map of its kind changes by chance."""


class Measured(NamedTuple):
    """One number of a sanity test of some images."""

    test: str
    """``weights``, ``labels`` or ``deletion``."""
    step: str
    """The module from which on, to the output, weights are random; or the share taken away."""
    values: tuple[float, ...]
    """Of each image the rank correlation with the true map; or the change of the output."""
    by_chance: tuple[float, ...] = ()
    """The change of the output with the map moved to places by chance; of no other test."""


class Check(NamedTuple):
    """One number of a sanity test: the mean over images."""

    test: str
    step: str
    value: float
    by_chance: float
    n_images: int
    """How many it is the mean of: a map that is the same everywhere cannot be compared."""


class Others(NamedTuple):
    """What a trained network is compared with."""

    untrained: nn.Module
    """The same network with random weights."""
    shuffled: Scored | None
    """One like it that learnt labels that mean nothing."""


def checks(
    method: Method,
    scored: Scored,
    others: Others,
    images: Tensor,
    rows: Sequence[int],
    *,
    seed: int,
) -> Iterator[Measured]:
    """Yield what the sanity tests of a method on some samples say.

    Weights are made random from the output on, one module after another, and labels were shuffled
    before a training [1]_: a map of the same ranks says nothing of what was learnt. Then the voxels
    that matter most get the mean of the image: the output should change more than when the map is
    moved elsewhere first [2]_.

    Parameters
    ----------
    method
        Makes the maps.
    scored
        The trained network.
    others
        Those that it is compared with.
    images
        Samples, as the network gets them.
    rows
        Theirs in the table of samples.
    seed
        Of the experiment.

    References
    ----------
    .. [1] Adebayo et al. 2018, arXiv:1810.03292
    .. [2] Petsiuk et al. 2018, arXiv:1806.07421
    """
    true = _importance(method(scored, images, rows))
    ranks = _ranks(true)
    yield from _cascade(method, scored, others.untrained, images, rows, ranks)
    if others.shuffled is not None:
        found = _ranks(_importance(method(others.shuffled, images, rows)))
        yield Measured(LABELS, "shuffled", _rank_correlations(ranks, found))
    yield from _deletion(scored, images, rows, true, seed=seed)


def together(of_batches: Iterable[Measured]) -> list[Check]:
    """Return the means over all images of what `checks` said of some at a time."""
    values: dict[tuple[str, str], list[float]] = {}
    by_chance: dict[tuple[str, str], list[float]] = {}
    for one in of_batches:
        values.setdefault(one[:2], []).extend(one.values)
        by_chance.setdefault(one[:2], []).extend(one.by_chance)
    return [
        Check(*key, _mean(some), _mean(by_chance[key]), int(np.isfinite(some).sum()))
        for key, some in values.items()
    ]


def _mean(values: Sequence[float]) -> float:
    """Return the mean of those that are numbers; no number where none is."""
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def problems(found: Sequence[Check]) -> list[str]:
    """Return what the tests found that a reader of the maps must know, a sentence each."""
    said = []
    of_weights = [one for one in found if one.test == WEIGHTS][-1]
    curve = [one for one in found if one.test == DELETION]
    n_images = curve[-1].n_images
    n_empty = n_images - of_weights.n_images
    if n_empty:
        said.append(
            f"The maps of {n_empty} of {n_images} images are the same everywhere: they say nothing"
        )
    if abs(of_weights.value) > MOST_ALIKE:
        said.append(
            "The maps do not depend on what was learnt: with random weights their rank "
            f"correlation with the true ones is {of_weights.value:.2f}"
        )
    for one in found:
        if one.test == LABELS and abs(one.value) > MOST_ALIKE:
            said.append(
                "The maps do not depend on the labels: where labels were shuffled before training "
                f"their rank correlation with the true ones is {one.value:.2f}"
            )
    if sum(one.value for one in curve) <= sum(one.by_chance for one in curve):
        said.append(
            "The output does not depend on what the maps show: without it the output changes no "
            "more than without what maps of the same form show elsewhere"
        )
    return said


def _cascade(
    method: Method,
    scored: Scored,
    untrained: nn.Module,
    images: Tensor,
    rows: Sequence[int],
    ranks: Sequence[NDArray[np.float64]],
) -> Iterator[Measured]:
    changed = copy.deepcopy(scored)
    fresh = dict(untrained.named_modules())
    with_weights = [
        (name, module)
        for name, module in changed.network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    for name, module in reversed(with_weights):
        own = fresh[name].state_dict()
        # Modules that hold others have theirs changed in their own turn.
        direct = {key for key, _ in (*module.named_parameters(recurse=False),
                                     *module.named_buffers(recurse=False))}  # fmt: skip
        module.load_state_dict({key: own[key] for key in direct if key in own}, strict=False)
        found = _ranks(_importance(method(changed, images, rows)))
        yield Measured(WEIGHTS, name, _rank_correlations(ranks, found))


def _deletion(
    scored: Scored, images: Tensor, rows: Sequence[int], true: Tensor, *, seed: int
) -> Iterator[Measured]:
    elsewhere = [_order(_moved(true, rows, time, seed=seed)) for time in range(N_MOVES)]
    order = _order(true)
    with torch.no_grad():
        whole = scored(images)
    for share in SHARES:
        n_gone = round(share * order.shape[1])
        by_map = _change(scored, images, whole, order[:, :n_gone])
        # All voxels are the same voxels, wherever the map was moved to.
        by_chance = (
            [_change(scored, images, whole, one[:, :n_gone]) for one in elsewhere]
            if 0 < n_gone < order.shape[1]
            else [by_map]
        )
        means = np.mean(by_chance, axis=0)
        yield Measured(DELETION, f"{share:g}", tuple(by_map), tuple(float(one) for one in means))


def _order(important: Tensor) -> Tensor:
    """Return the voxels of each image, those that matter most first."""
    return torch.argsort(important.flatten(1), dim=1, descending=True, stable=True)


def _moved(important: Tensor, rows: Sequence[int], time: int, *, seed: int) -> Tensor:
    """Return maps moved to a place by chance; what leaves the image comes in on its other side.

    They stay as coherent as they were: single voxels here and there would change any output.
    """
    moved = []
    for map_, row in zip(important, rows, strict=True):
        draw = draws.generator(seed, "attribution/deletion", time, row)
        shifts = [int(draw.integers(1, max(size, 2))) for size in map_.shape]
        moved.append(torch.roll(map_, shifts, tuple(range(map_.ndim))))
    return torch.stack(moved)


def _change(scored: Scored, images: Tensor, whole: Tensor, gone: Tensor) -> list[float]:
    """Return the magnitude of the change of each output when some voxels get the mean."""
    if not gone.shape[1]:
        return [0.0] * len(images)
    space = images.contiguous().flatten(2)
    kept = torch.ones(len(images), 1, space.shape[2], device=images.device)
    kept.scatter_(2, gone[:, None].to(images.device), 0)
    with torch.no_grad():
        changed = torch.where(kept > 0, space, space.mean(2, keepdim=True))
        gaps = scored(changed.reshape(images.shape)) - whole
    return [float(gap) for gap in gaps.abs()]


def _importance(maps: Tensor) -> Tensor:
    """Return the sum over the channels of the magnitude, on the CPU."""
    return maps.detach().float().abs().sum(1).cpu()


def _ranks(important: Tensor) -> list[NDArray[np.float64]]:
    """Return the ranks of the voxels of each image, with mean 0 and norm 1; zeros if all tie."""
    found = []
    for image in important.numpy():
        ranks = rankdata(image.ravel())
        centred = ranks - ranks.mean()
        norm = math.sqrt(float((centred**2).sum()))
        found.append(centred / norm if norm else centred)
    return found


def _rank_correlations(
    one: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]]
) -> tuple[float, ...]:
    """Return Spearman's correlation of the voxels of each image, from `_ranks`.

    A map that is the same everywhere has nothing in common with another; if it is the first, there
    is nothing to compare: not a number.
    """
    return tuple(
        float(first @ second) if first.any() else math.nan
        for first, second in zip(one, other, strict=True)
    )
