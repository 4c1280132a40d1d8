"""From a network and batches to predictions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd
import torch
from torch import nn

from clinicadl.data.batches import Batch
from clinicadl.engine.devices import Device
from clinicadl.tables import sessions
from clinicadl.tasks.base import LOSS, Task


class Outputs(NamedTuple):
    """What a network said of each sample, in the order of the table of samples."""

    outputs: torch.Tensor
    """Shape (n, outputs), float32, on the CPU."""
    targets: torch.Tensor
    losses: torch.Tensor
    rows: list[int]


def evaluate(
    network: nn.Module,
    task: Task,
    batches: Iterable[Batch],
    device: Device,
    *,
    labelled: bool = True,
) -> Outputs:
    """Return what the network, in evaluation mode, says of each sample.

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
        Whether the targets are labels; without them the losses are not a number.
    """
    was_training = network.training
    network.eval()
    outputs, targets, losses, rows = [], [], [], []
    with torch.inference_mode():
        for batch in batches:
            output = network(device.put(batch.images)).float().cpu()
            outputs.append(output)
            targets.append(batch.targets)
            losses.append(
                task.losses(output, batch.targets)
                if labelled
                else torch.full((len(output),), float("nan"))
            )
            rows += batch.rows
    network.train(was_training)
    return Outputs(torch.cat(outputs), torch.cat(targets), torch.cat(losses), rows)


def predictions(task: Task, said: Outputs, table: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the rows of a table of samples with what the network said of each.

    Parameters
    ----------
    task
        What is learnt.
    said
        What the network said.
    table
        The table of samples.
    part
        Its column that names the part of the image.

    Returns
    -------
    The identifiers, the part, the task's columns and ``loss``.
    """
    ids = table.iloc[said.rows][[sessions.PARTICIPANT, sessions.SESSION, part]]
    columns = task.predictions(said.outputs, said.targets)
    return ids.reset_index(drop=True).assign(**columns, **{LOSS: said.losses.numpy()})
