"""How the form of an experiment is shown."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from clinicadl.config.base import Section, setting


class GuiConfig(Section):
    """The form, on this machine alone or as a page in a file."""

    experiment_toml: Path | None = setting(
        None,
        "Configuration file that is opened if it is there, and the only one that Save writes "
        "(default: Save downloads)",
    )
    port: int = setting(0, "Port of 127.0.0.1 (0: one that is free)", ge=0, le=65535)
    browser: bool = setting(True, "Open the page in the browser", off="no-browser")
    export: Path | None = setting(
        None, "Write the page to this HTML file instead, for use without a server"
    )
    overwrite: bool = setting(False, "Replace the page of before")

    @model_validator(mode="after")
    def _nothing_is_said_in_vain(self) -> GuiConfig:
        if self.export is None and self.overwrite:
            raise ValueError("overwrite means nothing without export")
        if self.export is None:
            return self
        if self.experiment_toml is not None:
            raise ValueError("a page in a file opens files by itself: name none with export")
        if self.port or not self.browser:
            raise ValueError("port and browser mean nothing with export: there is no server")
        return self
