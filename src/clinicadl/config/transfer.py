"""Where the first weights come from."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.base import Section, setting


class TransferConfig(Section):
    """Weights of another MAPS."""

    transfer_path: Path | None = setting(
        None, "MAPS whose weights, of the same split, are the first weights", short="tp"
    )
    transfer_selection_metric: str = setting(
        "loss", "Selection metric of the source whose best model is taken", short="tsm"
    )
