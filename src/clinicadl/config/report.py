"""What is written of a MAPS for people to read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clinicadl.config.base import Section, setting


class ReportConfig(Section):
    """The page, and its figures."""

    maps_directory: Path = setting(..., "MAPS, or the folder of a search")
    format: Literal["html", "md", "json"] = setting(
        "html", "A page for a browser, text in Markdown, or everything as JSON"
    )
    output: Path | None = setting(
        None, "File to be made (default: report.FORMAT in the MAPS or search)"
    )
    figures: Path | None = setting(None, "Folder that gets each figure as SVG and PNG, too")
    covariates_tsv: Path | None = setting(
        None,
        "Table with age, sex, site, scanner for balance, subgroups and what they alone can tell "
        "(default: the table that the splits were made from, where it is still there)",
    )
    examples: int = setting(
        4, "Right cases of each group that are shown, and as many wrong ones", ge=0, le=20
    )
    overwrite: bool = setting(False, "Replace the report and the figures of before")

    @property
    def page(self) -> Path:
        """The file that is made."""
        return self.output or self.maps_directory / f"report.{self.format}"
