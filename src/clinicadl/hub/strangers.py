"""What is refused of files that come from strangers, before anything in them is used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from pydantic import ValidationError

from clinicadl.config import plugins
from clinicadl.config.tracking import TrackingConfig
from clinicadl.errors import ClinicaDLError, InvalidDataError, UsageError, listed
from clinicadl.layouts.maps import names
from clinicadl.layouts.maps.shared import FORMAT, NOT_SHARED, Shared, files_of
from clinicadl.networks import weights

MOST_FILES = 20_000
MOST_BYTES_OF_TEXT = 32 << 20
"""Of the description, and of the card."""
MOST_BYTES = 64 << 30
"""Of all files together."""
MOST_BYTES_OF_HEADER = 16 << 20
"""Of a file of weights; what stands before the numbers."""
MOST_DEPTH = 40
"""Brackets within brackets of a JSON."""

_NAME = re.compile(r"[A-Za-z0-9_.+-]+(?:/[A-Za-z0-9_.+-]+)*")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(rb"[\[\]{}]")
_HEADER = 8


class Entry(NamedTuple):
    """A file that somebody shares."""

    name: str
    """With slashes."""
    n_bytes: int


def refuse_names(entries: Iterable[Entry], where: object) -> None:
    """Refuse names that lead elsewhere or mean one file twice, and more than anybody shares.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    chosen = list(entries)
    lower: dict[str, str] = {}
    for name, _ in chosen[: MOST_FILES + 1]:
        parts = name.split("/")
        if not _NAME.fullmatch(name) or any(part in ("", ".", "..") for part in parts):
            _refuse("A name leads out of its folder, or is none", where, ascii(name))
        if name.lower() in lower:
            _refuse("Two names mean one file", where, f"{lower[name.lower()]} and {name}")
        lower[name.lower()] = name
    if len(chosen) > MOST_FILES:
        _refuse("There are too many files", where, f"{len(chosen)}, at most {MOST_FILES}")
    inside = [name for name in lower for part in _above(name) if part in lower]
    if inside:
        _refuse("A file lies in a file", where, lower[inside[0]])
    n_bytes = sum(one.n_bytes for one in chosen)
    if n_bytes > MOST_BYTES:
        _refuse("The files are too large", where, f"{n_bytes} bytes, at most {MOST_BYTES}")


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def parsed(content: bytes, where: object) -> dict[str, Any]:
    """Return a JSON object of a stranger.

    Raises
    ------
    InvalidDataError
        It is none, too deep, or holds what is no JSON, such as NaN.
    """
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", content)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MOST_DEPTH:
            _refuse("The JSON is too deep", where, f"more than {MOST_DEPTH} brackets")
    try:
        found = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidDataError(
            "The file is no JSON", where=where, found=error, fix="Ask for it again"
        ) from error
    if not isinstance(found, dict):
        _refuse("The JSON is no object", where, type(found).__name__)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def described(content: bytes, where: object) -> Shared:
    """Return what shared models say of themselves.

    Raises
    ------
    InvalidDataError
        It means nothing, or not what we know.
    UsageError
        It needs a plugin that was not named.
    """
    found = parsed(content, where)
    _refuse_unseen_signs(found, where)
    if found.get("format") != FORMAT:
        _refuse(
            "The format is not known", where, str(found.get("format"))[:100], f"Known: {FORMAT}"
        )
    try:
        shared = Shared.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        record = found.get("record")
        needed = record.get("plugins") if isinstance(record, Mapping) else None
        absent = sorted({*needed} - {*plugins.loaded()}) if isinstance(needed, Mapping) else []
        if first["type"] == "unknown_name" and absent:
            raise UsageError(
                "The models need a file that adds rows to our tables", where=where,
                found=listed(absent),
                fix="Read it, and name it with --plugin: it is not run unasked",
            ) from error  # fmt: skip
        place = ".".join(str(step) for step in first["loc"])[:200]
        raise InvalidDataError(
            "The description means nothing to us", where=f"{where}, {place}", found=first["msg"],
            fix="Ask those who share it",
        ) from error  # fmt: skip
    _refuse_other_files(shared, where)
    return shared


def _refuse_other_files(shared: Shared, where: object) -> None:
    """Refuse a description whose list of files is not that of its models.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    wanted, there = files_of(shared), set(shared.files)
    if wanted != there:
        odd = listed(sorted(wanted ^ there))
        _refuse("The list of files is not that of the models", where, odd)
    places = [(one.split, one.metric.lower()) for one in shared.models]
    if len(set(places)) < len(places):
        _refuse("A model is there twice", where, listed(places))
    if len(shared.record.input_shape) not in (3, 4) or min(shared.record.input_shape) < 1:
        _refuse("The shape of a sample is none", where, shared.record.input_shape)
    if not any(one.who == "" for one in shared.hidden):
        _refuse("Nobody says whom the models have seen", where, None)
    config = shared.record.config
    named = [one for one in _paths(config.model_dump()) if one != Path(NOT_SHARED)]
    if named or shared.record.tables or config.tracking != TrackingConfig():
        # A training that repeats this one would read it, or tell that tracker of it.
        _refuse("The record names places or trackers", where, listed(named) or None)
    if shared.record.pulled is not None:
        _refuse("The record is of models that were pulled before", where, None)


def _paths(value: object) -> Iterator[Path]:
    if isinstance(value, Mapping):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one)
    elif isinstance(value, Path):
        yield value


def _refuse_unseen_signs(value: object, where: object) -> None:
    """Refuse signs that move the cursor of a terminal, wherever they stand.

    Raises
    ------
    InvalidDataError
        There is one.
    """
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for one in value:
            _refuse_unseen_signs(one, where)
    elif isinstance(value, str) and not value.replace("\n", "").replace("\t", "").isprintable():
        _refuse("A text holds signs that cannot be seen", where, ascii(value)[:100])


def check_weights(shared: Shared, home: Path) -> None:
    """Refuse weights that are not those of the network that is described; all of them are read.

    Raises
    ------
    InvalidDataError
        A file is no safetensors, lacks or has a tensor, one of another shape or type, or one whose
        numbers are none.
    """
    task = shared.record.config.task.build(shared.record.label_code)
    settings = shared.record.config.network
    try:
        with torch.device("meta"):
            network = settings.build(shared.record.input_shape, task.n_outputs)
    except ClinicaDLError as error:
        raise InvalidDataError(
            "There is no such network", where=names.shared(home), found=error
        ) from error
    wanted = {
        name: (tuple(value.shape), weights.CODES[value.dtype])
        for name, value in network.state_dict().items()
    }
    for model in shared.models:
        for number in model.networks:
            path = names.weights(home, model.split, model.metric, number)
            check_header(path, wanted)
            stored = weights.read(path)
            odd = [
                name
                for name, value in stored.state.items()
                if value.is_floating_point() and not value.isfinite().all()
            ]
            if odd:
                _refuse("A weight is no number", path, listed(odd))
            if type(stored.facts.get("epoch")) is not int:
                _refuse("The weights do not say of which epoch they are", path, None)


def check_header(path: Path, wanted: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
    """Refuse a file whose first bytes do not describe exactly these tensors, one after another.

    Parameters
    ----------
    path
        A file of safetensors.
    wanted
        Name -> shape and type of its tensor.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    n_bytes = path.stat().st_size
    with path.open("rb") as stored:
        size = int.from_bytes(stored.read(_HEADER), "little")
        if n_bytes < _HEADER or size > min(MOST_BYTES_OF_HEADER, n_bytes - _HEADER):
            _refuse(
                "The file of weights is no safetensors, or its header is too large", path,
                f"{size} bytes of {n_bytes}",
            )  # fmt: skip
        header = parsed(stored.read(size), path)
    header.pop("__metadata__", None)
    found = {}
    spans = []
    for name, one in header.items():
        is_one = isinstance(one, dict) and {*one} == {"dtype", "shape", "data_offsets"}
        if not is_one or not _are_sizes(one["shape"]) or not _are_sizes(one["data_offsets"], 2):
            _refuse("A tensor is described by what means nothing", path, name[:100])
        found[name] = (tuple(one["shape"]), one["dtype"])
        spans.append(tuple(one["data_offsets"]))
    odd = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if odd:
        _refuse("The weights are not those of the network", path, listed(odd))
    ends = [0, *(stop for _, stop in sorted(spans))]
    if [start for start, _ in sorted(spans)] != ends[:-1] or ends[-1] != n_bytes - _HEADER - size:
        _refuse("The tensors do not lie one after another, up to the end", path, None)


def _are_sizes(value: object, n: int | None = None) -> bool:
    if not isinstance(value, list) or not all(type(one) is int and one >= 0 for one in value):
        return False
    return n is None or len(value) == n


def _refuse(
    what: str, where: object, found: object, fix: str = "Do not use it, and tell those who share it"
) -> NoReturn:
    raise InvalidDataError(what, where=where, found=found, fix=fix)
