"""Where the first weights come from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from clinicadl.config.base import Section, setting


class TransferConfig(Section):
    """Weights of another MAPS."""

    transfer_path: Path | None = setting(
        None, "MAPS whose weights, of the same split, are the first weights", short="tp"
    )
    transfer_selection_metric: str | None = setting(
        None,
        "Selection metric of the source whose best model is taken (default: its only one, or loss)",
        short="tsm",
    )
    transfer_layers: Literal["all", "features", "all-but-last"] = setting(
        "all",
        "Which weights of a network of the same kind are taken: all, those of the layers that see "
        "the image, or all but those of the last layer",
    )
    nb_unfrozen_layer: int = setting(
        0, "Last layers with weights that learn (0: all); the others keep what they were given",
        short="nul", ge=0,
    )  # fmt: skip

    @model_validator(mode="after")
    def _need_a_source(self) -> TransferConfig:
        if self.transfer_path is None and self.nb_unfrozen_layer:
            raise ValueError("--nb_unfrozen_layer needs --transfer_path: frozen weights are given")
        return self
