"""What prepare-data reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from clinicadl.config.base import Choice, Section, from_table, setting
from clinicadl.config.preprocessing import PREPROCESSINGS


class PrepareConfig(Section):
    """From images to tensors."""

    caps_directory: Path = setting(..., "CAPS that holds the images and gets the tensors")
    preprocessing: Annotated[Choice, from_table(PREPROCESSINGS, "clinicadl.preprocessings")] = (
        setting(..., "Preprocessing whose images are taken", flag="modality")
    )
    participants_tsv: Path | None = setting(
        None,
        "Table of the sessions (default: all of the CAPS)",
        flag="subjects_sessions_tsv",
        short="tsv",
    )
    extract_json: str | None = setting(
        None, "Name of the extraction JSON (default: extract_<unix seconds>.json)", short="ej"
    )
    n_proc: int = setting(2, "Processes", short="np", ge=1)
