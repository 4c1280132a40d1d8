"""What the training of one split takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.data.batches import Loader
from clinicadl.engine.devices import Device
from clinicadl.engine.profile import Profile
from clinicadl.guard.check import Verdict
from clinicadl.tasks.base import Target, Task, part_column


@dataclass(frozen=True)
class Training:
    """Everything that training one split takes and that does not change while it learns."""

    maps: Path
    split: int
    config: ExperimentConfig
    task: Task
    device: Device
    loader: Loader
    verdict: Verdict
    """What the guard said before the training."""
    caps_of: Mapping[str, Path]
    """Cohort -> CAPS."""
    mode: str
    table: pd.DataFrame
    """All samples of train, then all of validation."""
    targets: Sequence[Target]
    """What the network should say of each."""
    part_names: Sequence[str]
    """What the parts of each image are called, in the order of the samples of an image."""
    networks: tuple[int | None, ...]
    """The parts that have a network of their own; (None,) where one network sees all of them."""
    train: range
    """Images that the networks are fitted on, by their place in the table."""
    validation: range
    """Images that choose their best epoch."""
    profile: Profile | None = None
    """Records where the time of the first batches goes."""

    @property
    def part(self) -> str:
        """Column of the table that names the part of the image."""
        return part_column(self.mode)

    def purpose(self, what: str, network: int | None) -> str:
        """Return what a draw for a network is for.

        A network that sees one part draws by the name of the part, so that it becomes the same
        network whichever others are trained beside it.
        """
        name = "" if network is None else f"/{self.part_names[network]}"
        return f"{what}/{self.split}{name}"

    def rows(self, images: Iterable[int], networks: Collection[int | None]) -> list[int]:
        """Return the samples of some images that some networks see, image by image."""
        n_parts = len(self.part_names)
        seen = (
            range(n_parts) if None in networks else [part for part in networks if part is not None]
        )
        return [image * n_parts + part for image in images for part in seen]
