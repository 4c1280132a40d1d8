"""Does a map mean anything: does it depend on the weights, and does the output depend on it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from clinicadl import draws
from clinicadl.attribution.methods import Method, Scored

MOST_ALIKE = 0.5
"""Rank correlation with the map of random weights beyond which a map says little of weights."""
SHARES = tuple(step / 10 for step in range(11))
"""Shares of the voxels that the deletion curve takes away."""
N_MOVES = 5
"""Places that a map is moved to, to know what a map of its kind changes by chance."""


class Check(NamedTuple):
    """One number of a sanity test."""

    test: str
    """``weights`` or ``deletion``."""
    step: str
    """The module from which on, to the output, weights are random; or the share taken away."""
    value: float
    """Rank correlation with the true map; or the mean change of the output."""
    by_chance: float
    """The change of the output with the map moved to places by chance; no number for weights."""


def checks(
    method: Method,
    scored: Scored,
    untrained: nn.Module,
    images: Tensor,
    rows: Sequence[int],
    *,
    seed: int,
) -> Iterator[Check]:
    """Yield what the sanity tests of a method on some samples say.

    Weights are made random from the output on, one module after another [1]_: a map of the same
    ranks says nothing of what was learnt. Then the voxels that matter most get the mean of the
    image: the output should change more than when the map is moved elsewhere first [2]_.

    Parameters
    ----------
    method
        Makes the maps.
    scored
        The trained network.
    untrained
        The same network with random weights.
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
    yield from _cascade(method, scored, untrained, images, rows, true)
    yield from _deletion(scored, images, rows, true, seed=seed)


def problems(found: Sequence[Check]) -> list[str]:
    """Return what the tests found that a reader of the maps must know, a sentence each."""
    said = []
    of_weights = [one for one in found if one.test == "weights"]
    alike = of_weights[-1].value
    if math.isnan(alike):
        said.append("A map is the same everywhere: it says nothing")
    elif abs(alike) > MOST_ALIKE:
        said.append(
            "The maps do not depend on what was learnt: with random weights their rank "
            f"correlation with the true ones is {alike:.2f}"
        )
    curve = [one for one in found if one.test == "deletion"]
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
    true: Tensor,
) -> Iterator[Check]:
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
        found = _importance(method(changed, images, rows))
        yield Check("weights", name, _rank_correlation(true, found), math.nan)


def _deletion(
    scored: Scored, images: Tensor, rows: Sequence[int], true: Tensor, *, seed: int
) -> Iterator[Check]:
    elsewhere = [_order(_moved(true, rows, time, seed=seed)) for time in range(N_MOVES)]
    order = _order(true)
    for share in SHARES:
        n_gone = round(share * order.shape[1])
        by_map = _change(scored, images, order[:, :n_gone])
        by_chance = [_change(scored, images, one[:, :n_gone]) for one in elsewhere]
        yield Check("deletion", f"{share:g}", by_map, sum(by_chance) / N_MOVES)


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


def _change(scored: Scored, images: Tensor, gone: Tensor) -> float:
    """Return the mean magnitude of the change of the output when some voxels get the mean."""
    space = images.contiguous().flatten(2)
    kept = torch.ones(len(images), 1, space.shape[2], device=images.device)
    kept.scatter_(2, gone[:, None].to(images.device), 0)
    with torch.no_grad():
        changed = torch.where(kept > 0, space, space.mean(2, keepdim=True))
        return float((scored(changed.reshape(images.shape)) - scored(images)).abs().mean())


def _importance(maps: Tensor) -> Tensor:
    """Return the sum over the channels of the magnitude, on the CPU."""
    return maps.detach().float().abs().sum(1).cpu()


def _rank_correlation(one: Tensor, other: Tensor) -> float:
    """Return Spearman's correlation of the voxels, the mean over the images.

    A map that is the same everywhere has nothing in common with another; if it is the first, there
    is nothing to compare: not a number.
    """
    found = []
    for first, second in zip(one.numpy(), other.numpy(), strict=True):
        ranks = [rankdata(image.ravel()) for image in (first, second)]
        centred = [rank - rank.mean() for rank in ranks]
        norms = [math.sqrt(float((rank**2).sum())) for rank in centred]
        if not norms[0]:
            return math.nan
        product = float((centred[0] * centred[1]).sum())
        found.append(product / (norms[0] * norms[1]) if norms[1] else 0.0)
    return float(np.mean(found))
