"""What is checked for leakage, and what is known about it."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator, model_validator

from clinicadl.config.base import Section, setting


class RulesConfig(Section):
    """What the leakage rules look at; `CheckConfig` and `AuditConfig` say where."""

    paths: tuple[Path, ...] = setting((), "Folders, tables, or a table of cohorts")
    sets: tuple[str, ...] = setting(
        (), "A set and its table, as NAME=TABLE, where names of files do not tell", flag="set"
    )
    label: str | None = setting(
        None, "Column that a network is to learn (default: diagnosis, where there is one)"
    )
    group_by: str | None = setting(
        None, "Column whose groups (families, sites) must not be torn apart"
    )
    same_person: Path | None = setting(
        None, "Table that says who is in several cohorts: cohort, participant_id, person"
    )
    json_file: Path | None = setting(None, "File to write what was found to", flag="json")

    @field_validator("sets")
    @classmethod
    def _are_named(cls, sets: tuple[str, ...]) -> tuple[str, ...]:
        for one in sets:
            name, _, table = one.partition("=")
            if not name or not table:
                raise ValueError(f"'{one}' is no set with its table, as in train=mine.tsv")
        return sets

    @model_validator(mode="after")
    def _something_is_checked(self) -> RulesConfig:
        if not self.paths and not self.sets:
            raise ValueError("there is nothing to check: name a folder, a table, or a --set")
        return self


class CheckConfig(RulesConfig):
    """Split tables of any origin."""


class AuditConfig(RulesConfig):
    """Tables, CAPS and MAPS of any origin."""

    pictures: Path | None = setting(
        None, "Folder to draw images in that seem to show one head under two names"
    )
