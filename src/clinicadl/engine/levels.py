"""What a model says of the parts of images, and of the images."""

from __future__ import annotations

import pandas as pd

from clinicadl.layouts.maps.outcomes import Level
from clinicadl.tasks.base import IMAGE, Task, part_column


def levels(
    task: Task,
    found: pd.DataFrame,
    mode: str,
    *,
    basis: pd.DataFrame,
    seed: int | None,
    images: pd.DataFrame | None = None,
) -> dict[str, Level]:
    """Return the tables of a data group, of the parts and of the images.

    Parameters
    ----------
    task
        What is learnt.
    found
        What the model said of each part, with its loss.
    mode
        Name of the mode.
    basis
        What the same model said of the parts of train or validation: how much a part has to say
        about the image is told from these, and never from the group itself unless it is one of
        them.
    seed
        Of the resamples; None where there are no labels, and so no metrics.
    images
        What was said of the images, where it does not follow from what was said of their parts.

    Returns
    -------
    Level -> tables; one level where the image is its own only part, or nothing is said of it.
    """
    of_parts = Level(
        found.drop(columns=[*task.loss_names]),
        None if seed is None else task.table(found, seed=seed),
    )
    if mode == IMAGE:
        return {IMAGE: of_parts}
    part = part_column(mode)
    if found[part].nunique() == 1:
        renamed = of_parts.predictions.rename(columns={part: part_column(IMAGE)})
        return {mode: of_parts, IMAGE: Level(renamed, of_parts.metrics)}
    if images is None:
        images = task.of_images(of_parts.predictions, part, basis=basis)
    if images is None:
        return {mode: of_parts}
    metrics = None if seed is None else task.table(images, seed=seed)
    return {mode: of_parts, IMAGE: Level(images, metrics)}
