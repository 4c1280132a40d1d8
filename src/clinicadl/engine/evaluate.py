"""From a network and batches to predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clinicadl.data.batches import Batch
from clinicadl.engine.devices import Device
from clinicadl.tables import sessions
from clinicadl.tasks.base import Task


class Said(NamedTuple):
    """What a network said of each sample, in the order in which they came."""

    columns: dict[str, NDArray[Any]]
    """Those of the task's predictions, then its losses; each of shape (n,)."""
    rows: list[int]
    """Rows in the table of samples."""


Networks = Mapping[int | None, nn.Module]
"""Number of a part -> the network that sees it alone; or None -> the one that sees all parts."""


class Watcher(Protocol):
    """Is shown what no table holds: the samples and the outputs themselves."""

    def __call__(self, rows: Sequence[int], images: Tensor, outputs: Any) -> None:
        """Take note of a batch; ``rows`` are those of the table of samples."""
        ...


def evaluate(
    networks: Networks,
    task: Task,
    batches: Iterable[Batch],
    device: Device,
    *,
    labelled: bool = True,
    watcher: Watcher | None = None,
) -> dict[int | None, Said]:
    """Return what the networks, in evaluation mode, say of each sample that they see.

    Outputs are read batch by batch and let go: images that a network gives back need no memory.

    Parameters
    ----------
    networks
        On the device; their modes are given back afterwards.
    task
        What is learnt.
    batches
        Each sample once; for several networks the parts of these, in their order, image by image.
    device
        Where the networks lie.
    labelled
        Whether the targets are known; without them the losses are not a number.
    watcher
        Is shown each batch of each network.
    """
    were_training = {number: network.training for number, network in networks.items()}
    found: dict[int | None, list[Said]] = {number: [] for number in networks}
    for network in networks.values():
        network.eval()
    with torch.inference_mode():
        for batch in batches:
            for place, (number, network) in enumerate(networks.items()):
                own = batch.share(place, len(networks))
                images, targets = device.put(own.images), own.targets.to(device.torch_device)
                with device.autocast():
                    outputs = network(images)
                if watcher is not None:
                    watcher(own.rows, images, outputs)
                there = Batch(images, targets, own.rows)
                found[number].append(_said(task, there, outputs, labelled=labelled))
    for number, network in networks.items():
        network.train(were_training[number])
    return {number: joined(some) for number, some in found.items()}


def _said(task: Task, batch: Batch, outputs: Any, *, labelled: bool) -> Said:
    """Return what was said of a batch, which lies where the network does."""
    if labelled:
        losses = task.losses(outputs, batch.images, batch.targets)
    else:
        losses = dict.fromkeys(task.loss_names, torch.full((len(batch.images),), float("nan")))
    columns = {
        **task.predictions(outputs, batch.images, batch.targets),
        **{name: value.cpu().numpy() for name, value in losses.items()},
    }
    return Said(columns, batch.rows)


def joined(some: Sequence[Said]) -> Said:
    """Return what was said of several batches as one."""
    columns = {
        name: np.concatenate([one.columns[name] for one in some]) for name in some[0].columns
    }
    return Said(columns, [row for one in some for row in one.rows])


def predictions(said: Mapping[int | None, Said], table: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the rows of a table of samples with what was said of each, in the order of the table.

    Parameters
    ----------
    said
        What `evaluate` returned.
    table
        The table of samples.
    part
        Its column that names the part of the image.

    Returns
    -------
    The identifiers, the part, the task's columns and its losses.
    """
    everything = joined([*said.values()])
    order = np.argsort(everything.rows, kind="stable")
    rows = np.asarray(everything.rows)[order]
    ids = table.iloc[rows][[sessions.PARTICIPANT, sessions.SESSION, part]].reset_index(drop=True)
    return ids.assign(**{name: value[order] for name, value in everything.columns.items()})
