"""What a random search of releases 1.x is told on its command line."""

from __future__ import annotations

from pathlib import Path

from clinicadl.config.base import Section, setting


class RandomSearchConfig(Section):
    """One network that is drawn and trained."""

    launch_directory: Path = setting(
        ..., "Folder with random_search.toml, which gets a MAPS for each network"
    )
    name: str = setting(..., "Name of the new MAPS; another name draws another network")
    search_seed: int = setting(
        0, "Seed of what is drawn, not of the training", flag="search_seed", ge=0, lt=2**32
    )


class RandomAnalysisConfig(Section):
    """One metric of all networks of a random search."""

    launch_directory: Path = setting(..., "Folder with the MAPS of a random search")
    evaluation_metric: str = setting("loss", "Metric on validation that is gathered")
    selection_metric: str = setting("loss", "Selection metric of the best models")
    overwrite: bool = setting(False, "Replace the table of before")

    @property
    def table(self) -> Path:
        """The file that is made."""
        name = f"metric-{self.evaluation_metric}_selection-{self.selection_metric}"
        return self.launch_directory / f"analysis_{name}.tsv"
