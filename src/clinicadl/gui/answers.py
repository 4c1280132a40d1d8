"""What the form asks while somebody fills it in, answered by the model of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.read import draft, draft_of, draft_to_toml, problems, settings
from clinicadl.errors import ClinicaDLError, InvalidDataError, OutputError, UsageError
from clinicadl.gui.commands import train_command
from clinicadl.layouts import files
from clinicadl.networks.fits import check_task

Body = Mapping[str, Any]

DOWNLOADED = "experiment.toml"
"""What a file is called that the browser downloads."""
_MAPS = "maps"
"""The MAPS of the command, where nobody named one."""


@dataclass
class Desk:
    """The file that the form was opened with, as it was when it was last read or written."""

    file: Path | None
    digest: str | None = None
    values: dict[str, Any] | None = None
    """Its settings."""

    @property
    def name(self) -> str:
        """What the file is called in a command."""
        return DOWNLOADED if self.file is None else str(self.file)


def opened(file: Path | None) -> Desk:
    """Return a desk with the settings of its file, if there is one.

    Raises
    ------
    MissingInputError
        The file cannot be read.
    InvalidDataError
        It is no configuration, or one of its settings is wrong.
    UsageError
        It would be written as TOML and is called otherwise.
    OutputError
        It could not be written.
    """
    if file is None:
        return Desk(None)
    if file.suffix.lower() != ".toml":
        raise UsageError(
            "The form saves TOML", where=file, fix="Give a file whose name ends in .toml"
        )
    files.refuse_unwritable(file)
    if not file.exists():
        return Desk(file)
    return Desk(file, files.sha256(file), _finite(draft_of(file), file))


def _check(body: Body, desk: Desk) -> dict[str, Any]:
    given = _given(body)
    found = [{"path": one.path, "message": str(one.error)} for one in problems(given)]
    if not found:
        config = settings(ExperimentConfig, given)
        try:
            check_task(config.network, config.task.kind)
        except UsageError as error:
            found = [{"path": ("network", "name"), "message": str(error)}]
    return {"problems": found}


def _command(body: Body, desk: Desk) -> dict[str, Any]:
    maps = body.get("maps") or _MAPS
    typed = train_command(_config(body), str(maps), file=desk.name)
    return {"command": typed.line, "file": desk.name if typed.needs_file else None}


def _toml(body: Body, desk: Desk) -> dict[str, Any]:
    return {"toml": draft_to_toml(_given(body)), "name": DOWNLOADED}


def _open(body: Body, desk: Desk) -> dict[str, Any]:
    name = Path(str(body.get("name", DOWNLOADED)))
    return {"values": _finite(draft(str(body.get("text", "")), name), name)}


def _finite(values: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return settings that JSON can say.

    Raises
    ------
    InvalidDataError
        One is infinite, or no number.
    """
    try:
        json.dumps(values, allow_nan=False)
    except ValueError as error:
        raise InvalidDataError(
            "A number is not finite, and the form takes finite ones", where=file,
            fix="Give the setting a number",
        ) from error  # fmt: skip
    return values


def _save(body: Body, desk: Desk) -> dict[str, Any]:
    """Write the file that the form was opened with.

    Raises
    ------
    UsageError
        There is none.
    OutputError
        Somebody else changed it meanwhile, or it cannot be written.
    """
    if desk.file is None:
        raise UsageError("There is no file to write", fix="Start clinicadl gui FILE")
    text = draft_to_toml(_given(body))
    now = files.sha256(desk.file) if desk.file.exists() else None
    if now != desk.digest:
        raise OutputError(
            "The file was changed since it was opened here", where=desk.file,
            fix="Download the settings, and look at both",
        )  # fmt: skip
    files.write_text(desk.file, text)
    desk.digest, desk.values = files.sha256(desk.file), draft(text, desk.file)
    return {"saved": str(desk.file)}


def _images(body: Body, desk: Desk) -> dict[str, Any]:
    from clinicadl.gui.images import images_of

    found = images_of(_config(body))
    return {"mode": found.mode, "n_parts": found.n_parts, "input_shape": found.input_shape}


def _network(body: Body, desk: Desk) -> dict[str, Any]:
    from clinicadl.gui import network
    from clinicadl.networks.listing import parse_input_size

    config, size = _config(body), body.get("input_size")
    if size:
        return network.seen(config, parse_input_size(str(size)), 1)
    from clinicadl.gui.images import images_of

    found = images_of(config)
    return network.seen(config, found.input_shape, found.n_parts)


def _splits(body: Body, desk: Desk) -> dict[str, Any]:
    from clinicadl.gui import people

    return people.seen(_config(body))


ANSWERS: Mapping[str, Callable[[Body, Desk], dict[str, Any]]] = {
    "/check": _check,
    "/command": _command,
    "/toml": _toml,
    "/open": _open,
    "/save": _save,
    "/images": _images,
    "/network": _network,
    "/splits": _splits,
}
"""Address -> what answers there."""


def answer(address: str, body: Body, desk: Desk) -> str:
    """Return the answer to a question as JSON; what the user can mend is its message.

    Parameters
    ----------
    address
        One of `ANSWERS`.
    body
        The question: ``settings``, nested as the sections are, and what else it needs.
    desk
        The file of the form.
    """
    try:
        return json.dumps({"ok": True, **ANSWERS[address](body, desk)}, allow_nan=False)
    except ClinicaDLError as error:
        return json.dumps({"ok": False, "message": str(error)})


def _given(body: Body) -> Mapping[str, Any]:
    """Return the settings of a question.

    Raises
    ------
    UsageError
        There are none.
    """
    given = body.get("settings")
    if not isinstance(given, Mapping):
        raise UsageError("The question has no settings")
    return given


def _config(body: Body) -> ExperimentConfig:
    return settings(ExperimentConfig, _given(body))
