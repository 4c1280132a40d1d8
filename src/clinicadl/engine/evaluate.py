"""From a network and batches to predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


class Watcher(Protocol):
    """Is shown what no table holds: the samples and the outputs themselves."""

    def __call__(self, rows: Sequence[int], images: Tensor, outputs: Any) -> None:
        """Take note of a batch; ``rows`` are those of the table of samples."""
        ...


def evaluate(
    network: nn.Module,
    task: Task,
    batches: Iterable[Batch],
    device: Device,
    *,
    labelled: bool = True,
    watcher: Watcher | None = None,
) -> Said:
    """Return what the network, in evaluation mode, says of each sample.

    Outputs are read batch by batch and let go: images that a network gives back need no memory.

    Parameters
    ----------
    network
        On the device; its mode is given back afterwards.
    task
        What is learnt.
    batches
        Each sample once.
    device
        Where the network lies.
    labelled
        Whether the targets are known; without them the losses are not a number.
    watcher
        Is shown each batch.
    """
    was_training = network.training
    network.eval()
    found: list[dict[str, NDArray[Any]]] = []
    rows: list[int] = []
    with torch.inference_mode():
        for batch in batches:
            images = device.put(batch.images)
            targets = batch.targets.to(device.torch_device)
            outputs = network(images)
            if watcher is not None:
                watcher(batch.rows, images, outputs)
            if labelled:
                losses = task.losses(outputs, images, targets)
            else:
                unknown = torch.full((len(images),), float("nan"))
                losses = dict.fromkeys(task.loss_names, unknown)
            found.append(
                {
                    **task.predictions(outputs, images, targets),
                    **{name: value.cpu().numpy() for name, value in losses.items()},
                }
            )
            rows += batch.rows
    network.train(was_training)
    return Said({name: np.concatenate([one[name] for one in found]) for name in found[0]}, rows)


def predictions(said: Said, table: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the rows of a table of samples with what the network said of each.

    Parameters
    ----------
    said
        What the network said.
    table
        The table of samples.
    part
        Its column that names the part of the image.

    Returns
    -------
    The identifiers, the part, the task's columns and its losses.
    """
    ids = table.iloc[said.rows][[sessions.PARTICIPANT, sessions.SESSION, part]]
    return ids.reset_index(drop=True).assign(**said.columns)
