"""What is to be cited for what was used in a MAPS."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from clinicadl.config import references
from clinicadl.config.attributions import ATTRIBUTIONS
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.network import NETWORKS
from clinicadl.config.references import OTHERS, PUBLICATIONS
from clinicadl.layouts.files import read_json
from clinicadl.layouts.maps import names, record

_FEW = 4
"""Authors that are all named; of more the first."""


class Use(NamedTuple):
    """A feature, and what it rests on."""

    feature: str
    identifiers: tuple[str, ...]
    note: str = ""
    """Why there is nothing to cite, or what else to cite."""


def cite(maps: Path | None = None, *, bibtex: bool = False) -> str:
    """Return what is to be cited for what was used in a MAPS.

    Parameters
    ----------
    maps
        The MAPS; None: everything that can be cited, by feature.
    bibtex
        As entries for BibTeX, each publication once.

    Returns
    -------
    A page of text, each publication with the features that rest on it.

    Raises
    ------
    MissingInputError
        There is no MAPS.
    InvalidDataError
        Its record is damaged, or of another release.
    """
    found = [*everything()] if maps is None else [*used(maps)]
    return _bibtex(found) if bibtex else _page(found)


def used(maps: Path) -> Iterator[Use]:
    """Yield the features that a MAPS rests on.

    Raises
    ------
    MissingInputError
        There is no MAPS.
    InvalidDataError
        Its record is damaged, or of another release.
    """
    of_maps = record.read(maps)
    config = of_maps.config
    yield from _software()
    yield Use("data", (), references.NOTES["data"])
    for name in dict.fromkeys(str(one["preprocessing"]) for one in of_maps.extractions):
        yield _preprocessing(name)
    yield _row(f"network {config.network.name}", getattr(config.network, "reference", ""))
    yield from _training(config)
    folders = [*_results(maps)]
    if any(names.metrics_tables(folder) for folder in folders):
        yield Use("intervals of metrics", references.INTERVALS)
        if config.task.name == "reconstruction":
            yield Use("metric SSIM", references.SIMILARITY)
    yield from _interpretations(folders)


def everything() -> Iterator[Use]:
    """Yield every feature that there is something to say of."""
    yield from _software()
    yield Use("BIDS", references.BIDS)
    for name in references.PREPROCESSINGS:
        yield _preprocessing(name)
    for name, row in NETWORKS.items():
        yield _row(f"network {name}", row.reference)
    for what, table in (
        ("optimizer", references.OPTIMIZERS),
        ("schedule", references.SCHEDULES),
        ("averaging", references.AVERAGES),
        ("loss", references.LOSSES),
        ("package", references.PACKAGES),
    ):
        yield from (Use(f"{what} {name}", found) for name, found in table.items())
    yield Use("intervals of metrics", references.INTERVALS)
    yield Use("metric SSIM", references.SIMILARITY)
    for name, method in ATTRIBUTIONS.items():
        yield _row(f"attribution {name}", method.reference)
    yield Use("sanity checks of maps", references.SANITY)
    yield from (Use(name, found) for name, found in references.COMPARISON.items())


def _software() -> Iterator[Use]:
    yield from (Use(name, found) for name, found in references.SOFTWARE.items())


def _preprocessing(name: str) -> Use:
    feature = f"preprocessing {name}"
    if name not in references.PREPROCESSINGS:
        return Use(feature, references.BIDS, references.NOTES["preprocessing bids"])
    return Use(feature, references.PREPROCESSINGS[name], references.NOTES.get(feature, ""))


def _row(feature: str, reference: str) -> Use:
    """Return a network or a method, by the reference of its row, which may be somebody else's."""
    named = references.identifiers(reference)
    known = tuple(one for one in named if one in PUBLICATIONS)
    note = f"cite whoever wrote it: {reference or 'its row names no reference'}"
    return Use(feature, known, "" if known == named != () else note)


def _training(config: ExperimentConfig) -> Iterator[Use]:
    learning = config.optimization
    for what, name, table in (
        ("optimizer", learning.optimizer, references.OPTIMIZERS),
        ("schedule", learning.schedule.name, references.SCHEDULES),
        ("averaging", learning.averaging.name, references.AVERAGES),
        ("loss", str(getattr(config.task, "loss", "")), references.LOSSES),
    ):
        if name in table:
            yield Use(f"{what} {name}", table[name])
    packages = {one.package for one in config.transforms.augmentation if one.package is not None}
    for package in sorted(packages & references.PACKAGES.keys()):
        yield Use(f"package {package}", references.PACKAGES[package])


def _results(maps: Path) -> Iterator[Path]:
    """Yield the folders of results of all splits, models and data groups."""
    for split in (*names.split_numbers(maps), None):
        for metric in names.selection_metrics(maps, split):
            home = names.best(maps, split, metric)
            yield from sorted(path for path in home.iterdir() if path.is_dir())


def _interpretations(folders: Iterable[Path]) -> Iterator[Use]:
    methods: dict[str, None] = {}
    is_checked = False
    for folder in folders:
        for found in names.interpretations(folder):
            made = read_json(names.method(found), "method of the interpretation")
            methods[str(made["method"]["name"])] = None
            is_checked |= names.judged(found, "sanity").is_file()
    for name in methods:
        row = ATTRIBUTIONS.get(name)
        yield _row(f"attribution {name}", "" if row is None else row.reference)
        package = None if row is None else row.package
        if package in references.PACKAGES:
            yield Use(f"package {package}", references.PACKAGES[package])
    if is_checked:
        yield Use("sanity checks of maps", references.SANITY)


def _of_publications(found: Iterable[Use]) -> dict[str, list[str]]:
    """Return the features that rest on each publication."""
    features: dict[str, list[str]] = {}
    for use in found:
        for identifier in use.identifiers:
            known = features.setdefault(identifier, [])
            if use.feature not in known:
                known.append(use.feature)
    return features


def _page(found: list[Use]) -> str:
    lines = []
    for number, (identifier, features) in enumerate(_of_publications(found).items(), start=1):
        one = PUBLICATIONS[identifier]
        note = references.NOTES.get(identifier)
        lines += [
            f"[{number}] {_authors(one.authors)} ({one.year}). {one.title}. {one.home}.",
            f"    {references.link(identifier)}",
            f"    for: {', '.join(features)}{f' ({note})' if note else ''}",
        ]
    lines += [f"{use.feature}: {use.note}" for use in dict.fromkeys(found) if use.note]
    return "\n".join(lines) + "\n"


def _authors(authors: tuple[str, ...]) -> str:
    if OTHERS in authors or len(authors) > _FEW:
        return f"{authors[0]} et al."
    *first, last = authors
    return f"{', '.join(first)} and {last}" if first else last


def _bibtex(found: list[Use]) -> str:
    return "\n".join(_entry(identifier) for identifier in _of_publications(found))


def _entry(identifier: str) -> str:
    one = PUBLICATIONS[identifier]
    kind, _, number = identifier.partition(":")
    fields = {
        "author": " and ".join(one.authors),
        "title": f"{{{one.title}}}",
        "journal": one.home,
        "year": str(one.year),
        **({"doi": number} if kind == "doi" else {"eprint": number, "archiveprefix": "arXiv"}),
    }
    rows = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@article{{{key(identifier)},\n{rows}\n}}\n"


def key(identifier: str) -> str:
    """Return the key of a publication in BibTeX: first author, year and first long word.

    Examples
    --------
    >>> key("arXiv:1412.6980")
    'kingma2015adam'
    """
    one = PUBLICATIONS[identifier]
    family = "".join(_words(one.authors[0].partition(",")[0]))
    return f"{family}{one.year}{next(word for word in _words(one.title) if len(word) > 3)}"


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", plain.lower())
