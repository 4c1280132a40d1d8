"""What the name of a file, folder or column tells about a set of participants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from clinicadl.layouts.splits import TEST, TRAIN, VALIDATION

POOL = "train and validation"
"""Everybody whom a model may see; train and validation are parts of it."""

_WORDS_OF = {
    TRAIN: ("train", "training", "trainset", "trn"),
    VALIDATION: ("validation", "valid", "val", "dev", "development", "valset", "validating"),
    TEST: ("test", "testing", "holdout", "heldout", "testset", "tst"),
    POOL: ("trainval", "trainvalid", "trainvalidation", "traindev"),
}
_ROLE_OF = {word: role for role, words in _WORDS_OF.items() for word in words}
_BASELINE = frozenset({"baseline", "bl"})
_FOLDS = frozenset({
    "fold", "folds", "kfold", "split", "splits", "cv", "k", "rep", "repeat", "repetition", "run",
    "seed", "iter", "iteration", "trial", "inner", "outer", "part", "partition",
})  # fmt: skip
_FILLERS = frozenset({
    "set", "data", "dataset", "subjects", "subject", "participants", "participant", "patients",
    "sessions", "labels", "label", "list", "ids", "id", "table", "df", "images", "image", "final",
    "longitudinal", "all", "meta", "metadata", "info", "clinical", "demographics", "tsv", "csv",
    "file", "index", "the", "of", "for",
})  # fmt: skip
_RESULTS = frozenset({
    "prediction", "predictions", "metric", "metrics", "log", "logs", "loss", "losses", "history",
    "score", "scores", "result", "results", "report", "performance", "accuracy", "curve", "curves",
    "neuropsych", "neuropsychological", "excluded", "summary", "stats", "statistics", "embeddings",
})  # fmt: skip
"""Words of tables that are about a set, and not the set itself."""
_LOGS = frozenset({"log", "logs"})

_COLUMNS = frozenset({
    "split", "splits", "fold", "folds", "set", "subset", "partition", "phase", "usage", "dataset",
})  # fmt: skip
_NUMBERED = frozenset({"fold", "folds", "split", "splits"})


class SetName(NamedTuple):
    """A set of participants, and where it stands among the divisions."""

    role: str
    """``train``, ``validation``, ``test``, `POOL`, or another name: of those, nobody is in two."""
    location: tuple[str, ...]
    """The division that it belongs to; a division inside it begins with the same."""
    words: tuple[str, ...] = ()
    """What else its name says: a diagnosis, a cohort, a variant."""
    is_baseline: bool = False


class _Name(NamedTuple):
    """One folder or file name, taken apart."""

    role: str | None
    tokens: tuple[str, ...]
    """All words and numbers but those of the role and of the baseline."""
    numbers: tuple[str, ...]
    """Numbers that count folds."""
    words: tuple[str, ...]
    is_baseline: bool


def role_of(word: str) -> str | None:
    """Return the role that a word is a name of.

    Examples
    --------
    >>> role_of("Training"), role_of("val"), role_of("hold-out"), role_of("CN")
    ('train', 'validation', 'test', None)
    """
    return _taken_apart(word).role


def of_file(parts: Sequence[str]) -> SetName | None:
    """Return the set that a table is, as far as its path tells.

    Parameters
    ----------
    parts
        Names of the folders on the way, and of the file without its suffix.

    Examples
    --------
    >>> of_file(["split", "5_fold", "split-0", "validation_baseline"])
    SetName(role='validation', location=('split', '5_fold', 'split-0'), words=(), is_baseline=True)
    >>> of_file(["train_splits-5", "split-0", "AD"])
    SetName(role='train', location=('splits-5', 'split-0'), words=('ad',), is_baseline=False)
    >>> of_file(["train_fold0"])
    SetName(role='train', location=('0',), words=(), is_baseline=False)
    >>> of_file(["labels"]) is of_file(["test_scores"]) is None
    True
    """
    names = [_taken_apart(part) for part in parts]
    *folders, stem = names
    if _RESULTS & {*stem.tokens} or any(_LOGS & {*folder.tokens} for folder in folders):
        return None
    at = next((i for i in reversed(range(len(names))) if names[i].role), None)
    if at is None:
        if stem.tokens[:1] == ("fold",) and len(stem.tokens) == 2 and stem.numbers:
            return SetName(" ".join(stem.tokens), tuple(parts[:-1]))
        return None
    role = names[at].role or ""
    if at == len(folders):
        return SetName(role, (*parts[:-1], *stem.numbers), stem.words, stem.is_baseline)
    own = tuple(token for token in names[at].tokens if token not in _FILLERS)
    location = (*parts[:at], *(["-".join(own)] if own else []), *parts[at + 1 : -1], *stem.numbers)
    return SetName(role, location, stem.words, stem.is_baseline or names[at].is_baseline)


def may_name_sets(column: str) -> bool:
    """Return whether a column may say in which set each row is.

    Examples
    --------
    >>> may_name_sets("data_split"), may_name_sets("Fold 1"), may_name_sets("site")
    (True, True, False)
    """
    return bool(_COLUMNS & {*tokens(column)})


def counts_folds(column: str) -> bool:
    """Return whether the numbers in a column may be those of folds."""
    return bool(_NUMBERED & {*tokens(column)})


def tokens(text: str) -> list[str]:
    """Return the words and numbers of a name, in small letters.

    Examples
    --------
    >>> tokens("ManufacturersModel_1"), tokens("site1-train")
    (['manufacturers', 'model', '1'], ['site', '1', 'train'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold()
    joined = re.sub(r"\b(hold|held)[\W_]*out\b", r"\1out", spaced.replace("_", " "))
    return re.findall(r"[^\W\d_]+|\d+", joined)


def _taken_apart(text: str) -> _Name:
    roles: dict[str, None] = {}
    kept: list[str] = []
    numbers: list[str] = []
    words: list[str] = []
    is_baseline = False
    before = ""
    for token in tokens(text):
        if token in _ROLE_OF:
            roles[_ROLE_OF[token]] = None
        elif token in _BASELINE:
            is_baseline = True
        else:
            kept.append(token)
            if not token.isdigit():
                words += [token] if token not in _FOLDS | _FILLERS else []
            elif words and before == words[-1]:
                # site1 is the name of a site; fold1 is not.
                words[-1] += token
            else:
                numbers.append(token)
        before = token
    role = next(iter(roles), None)
    if {*roles} == {TRAIN, VALIDATION}:
        role = POOL
    elif len(roles) > 1:
        # train_test_split: a table that holds all of them.
        role = None
    return _Name(role, tuple(kept), tuple(numbers), tuple(words), is_baseline)
