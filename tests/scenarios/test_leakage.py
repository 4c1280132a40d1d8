"""Every way to leak that we know of is refused or told, and clean work is left alone.

The situations are played on the command line, grouped by the scenarios of E. Thibeau-Sutre et al.,
ClinicaDL: an open-source deep learning software for reproducible neuroimaging processing, 2022,
section 2.2. `docs/concepts/leakage.md` lists them by their names here.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import pytest

from clinicadl import PrepareConfig, SearchConfig, prepare_data, train
from clinicadl.config.transfer import TransferConfig
from clinicadl.draws import generator
from clinicadl.layouts import images, search

DOCS = Path(__file__).parents[2] / "docs" / "concepts" / "leakage.md"

NO_TEST, SPLIT, LATE, TRANSFER, ENSEMBLE = (
    "absence of an independent test set", "biased split", "late split", "biased transfer",
    "biased ensemble",
)  # fmt: skip
CLEAN = "clean"

PREDICT = (
    "predict maps new --caps_directory caps --participants_tsv {} --no-gpu -np 0 -s 0 -sm loss"
)
GROUP = PREDICT.format("group.tsv")
KNOWN = "predict maps test --no-gpu -np 0 -s 0 -sm loss"
TEST = KNOWN + " --caps_directory caps --participants_tsv caps/split/test_baseline.tsv"
TRAIN = "train classification caps tiny mine out --epochs 1 --no-gpu -np 0 -a Conv4_FC3"
FOLDS = TRAIN.replace("mine", "folds") + " --n_splits 2 --split 0"
CHECK = "tsvtools check"


SUFFIX = "desc-Tiny_T1w.nii.gz"
ROW = "participant_id\tsession_id\tdiagnosis"
NEW = tuple(f"sub-N{number:03d}" for number in range(4))
"""People whom no model saw and no split knows."""


def participants(table: Path) -> list[str]:
    return [*dict.fromkeys(pd.read_csv(table, sep="\t", dtype=str)["participant_id"])]


def lay(folder: Path, name: str, rows: Iterable[tuple[str, str] | str]) -> Path:
    """Write a table of sessions; a name alone is its first session."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = [(row, "ses-M000") if isinstance(row, str) else row for row in rows]
    lines = [f"{who}\t{visit}\t{('AD', 'CN')[i % 2]}" for i, (who, visit) in enumerate(pairs)]
    path.write_text("\n".join([ROW, *lines]) + "\n")
    return path


def image(caps: Path, who: str, visit: str = "ses-M000") -> Path:
    return caps / "subjects" / who / visit / "custom" / f"{who}_{visit}_{SUFFIX}"


class World:
    """What lies in a folder: ``caps``, ``maps`` (two splits), models that came from it, tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.caps = folder / "caps"
        home = self.caps / "split"
        self.test = participants(home / "test_baseline.tsv")
        self.train = participants(home / "2_fold/split-0/train.tsv")
        self.validation = participants(home / "2_fold/split-0/validation_baseline.tsv")

    def respelt(self) -> dict[str, str]:
        """Spellings of the first participant of train that images are there of."""
        who = self.train[0]
        number = who.removeprefix("sub-T")
        return {
            "zeros": f"sub-T0{number}",
            "case": f"sub-t{number}",
            "prefix": f"sub-{number}",
        }

    def group(self, *rows: tuple[str, str] | str) -> None:
        """Write the table of a data group."""
        lay(self.folder, "group.tsv", rows)

    def splits(self, train: Iterable[tuple[str, str] | str], validation: Iterable[object]) -> None:
        """Write the tables of one split."""
        lay(self.folder, "mine/train.tsv", train)
        lay(self.folder, "mine/validation_baseline.tsv", validation)  # type: ignore[arg-type]


def build(
    folder: Path, source: Path, config_of: Callable, published_of: Callable, ok: Callable
) -> None:
    """Lay the world into a folder, once for all situations."""
    shutil.copytree(source, folder / "caps")
    world = World(folder)
    caps = world.caps
    fresh = [(who, "ses-M000") for who in (*NEW, *world.respelt().values())]
    fresh += [
        (world.train[0], "ses-M024"),
        (world.test[0], "ses-M024"),
        (NEW[0].lower(), "ses-M000"),
    ]
    for number, (who, visit) in enumerate(fresh):
        voxels = generator(3, "leaking", sample=number).uniform(0.5, 1, (18, 20, 17))
        affine = images.read(image(caps, world.train[0])).affine
        images.write(image(caps, who, visit), voxels.astype(np.float32), affine=affine)
    copies = {"sub-X901": world.train[0], "sub-X902": world.test[0], "sub-X903": NEW[0]}
    for name, who in copies.items():
        image(caps, name).parent.mkdir(parents=True)
        shutil.copy(image(caps, who), image(caps, name))
    suffix = {"name": "custom", "custom_suffix": SUFFIX}
    prepare_data(
        PrepareConfig(caps_directory=caps, preprocessing=suffix, extract_json="tiny", n_proc=1)
    )
    extraction = json.loads((caps / "tensor_extraction/tiny.json").read_text())
    patches = {"mode": "patch", "patch_size": 9, "stride_size": 9, "extract_json": "patches.json"}
    (caps / "tensor_extraction/patches.json").write_text(json.dumps(extraction | patches))

    quick = {"optimization": {"epochs": 1}, "task": {"selection_metrics": ["loss"]}}
    both = {"validation": {"n_splits": 2, "split": [0, 1]}}
    train(config_of(caps, **quick, **both), folder / "maps")
    train(config_of(caps, **quick, data={"preprocessing_json": "patches"}), folder / "patches")
    # Two trials of one search, as it leaves them.
    for number in range(2):
        shutil.copytree(folder / "maps", search.maps(folder / "search", number))
    what = search.Definition(
        config=SearchConfig(), higher_is_better=False, sizes={}, threads=1, tables={}, plugins={},
        generated_by={}, created="",
    )  # fmt: skip
    search.write_definition(folder / "search", what)
    # A model of other people, whose weights come from that one; and one whose come from it.
    lay(folder, "others/train.tsv", NEW[:2])
    lay(folder, "others/validation_baseline.tsv", NEW[2:])
    ok("maps", "import", published_of(folder / "old", caps=caps), folder / "imported")
    for child, parent in (("child", "maps"), ("grandchild", "child"), ("of-imported", "imported")):
        config = config_of(
            caps, **quick, data={"tsv_directory": folder / "others"},
            validation={"n_splits": 0, "split": []},
        )  # fmt: skip
        transfer = TransferConfig(transfer_path=folder / parent)
        train(config.model_copy(update={"transfer": transfer}), folder / child)


class Situation(NamedTuple):
    """What somebody does, step by step; the last step is judged."""

    name: str
    scenario: str
    what: str
    """What happens, in one sentence."""
    steps: tuple[str | Callable[[World], object], ...]
    """Commands as they are typed in the folder, and what is done to the files in between."""
    outcome: Literal["refuse", "warn", "clean"]
    words: str = ""
    """What must be said."""


def group(*rows: object):
    """Write the table of a data group; a row may be asked of the world."""
    return lambda world: world.group(*(row(world) if callable(row) else row for row in rows))


def splits(train: Callable[[World], list[object]], validation: Callable[[World], list[object]]):
    return lambda world: world.splits(train(world), validation(world))


def folds(world: World) -> None:
    """Copy the tables of the two folds to where no record of their division is."""
    shutil.copytree(world.caps / "split/2_fold", world.folder / "folds")
    (world.folder / "folds/kfold.json").unlink()


def seen(world: World) -> str:
    return world.train[0]


def chosen_on(world: World) -> str:
    return world.validation[0]


def unseen(world: World) -> str:
    return world.test[0]


def respelt(how: str):
    return lambda world: world.respelt()[how]


def edit(name: str, change: Callable[[World, pd.DataFrame], pd.DataFrame]):
    """Edit a table by hand."""

    def step(world: World) -> None:
        path = world.folder / name
        table = change(world, pd.read_csv(path, sep="\t", dtype=str))
        table.to_csv(path, sep="\t", index=False)

    return step


def with_row(who: Callable[[World], str]):
    """Return a change that adds somebody to a table."""
    return lambda world, table: pd.concat(
        [table, table.iloc[:1].assign(participant_id=who(world), session_id="ses-M000")]
    )


def scan(who: Callable[[World], str], name: str):
    """Put the image of somebody where no CAPS is."""
    return lambda world: shutil.copy(image(world.caps, who(world)), world.folder / name)


def without_first(world: World) -> list[str]:
    return world.train[1:]


def family_tables(world: World) -> None:
    """Write two sets with a family on both sides."""
    for name, numbers in (("train", range(20)), ("test", range(19, 39))):
        path = lay(world.folder, f"families/{name}.tsv", [f"sub-F{i + (name == 'test'):03d}"
                                                          for i in numbers])  # fmt: skip
        table = pd.read_csv(path, sep="\t").assign(family=[f"f{i // 2}" for i in numbers])
        table.to_csv(path, sep="\t", index=False)


def twin_tables(world: World) -> None:
    """Write two sets with one person under two ids, whose measures give her away."""
    for name, numbers in (("train", range(30)), ("test", range(30, 60))):
        path = lay(world.folder, f"twins/{name}.tsv", [f"sub-F{i:03d}" for i in numbers])
        like = [7 if i == 40 else i for i in numbers]
        table = pd.read_csv(path, sep="\t").assign(
            age=[60 + (i * 37 % 200) / 10 for i in like],
            volume=[1000 + (i * 7919) % 997 for i in like],
            thickness=[2 + ((i * 104729) % 991) / 1000 for i in like],
            score=[(i * 15485863) % 983 for i in like],
        )
        table.to_csv(path, sep="\t", index=False)


def sub_labels(world: World) -> None:
    """Divide the people of two classes again, into other sets than those of all classes."""
    home = world.folder / "labels"
    lay(home, "train.tsv", world.train)
    lay(home, "test.tsv", world.test)
    lay(home, "sub/train.tsv", [*world.train[:3], *world.test[:1]])
    lay(home, "sub/test.tsv", world.train[3:5])


def swapped(world: World) -> None:
    """Write splits whose train was the validation of the source, and the reverse."""
    world.splits(world.validation, world.train)


def votes_on(world: World) -> None:
    (world.folder / "group.tsv").write_bytes(
        (world.caps / "split/2_fold/split-0/validation_baseline.tsv").read_bytes()
    )


SEAL = TEST.replace(" -s 0 -sm loss", "") + " --seal"
UNSEAL = KNOWN + " --unseal chosen"
TRAIN_TABLE = "caps/split/2_fold/split-0/train.tsv"
VALIDATION_TABLE = "caps/split/2_fold/split-0/validation_baseline.tsv"
INTERPRET = "interpret maps test why gradients --no-gpu -np 0 -s 0"
IMAGE = "predict maps new --no-gpu -np 0 -s 0 -sm loss --image "
FROM = TRAIN + " --transfer_path "
BEST = TEST.replace("predict maps", "predict search/trials/trial-0000")
PEOPLE = "seen in train or validation"

SITUATIONS = [
    # Absence of an independent test set.
    Situation("evaluated-on-train", NO_TEST, "The models are evaluated on train, by its name.",
              ("predict maps train",), "refuse", "train is no data group to evaluate on"),
    Situation("evaluated-on-validation", NO_TEST,
              "The models are evaluated on validation, by its name.",
              ("predict maps validation",), "refuse", "validation is no data group"),
    Situation("own-group-with-a-reason", NO_TEST, "A reason is given for an evaluation on train.",
              ("predict maps train --accept_leakage why_not",), "refuse", "no data group"),
    Situation("own-group-in-capitals", NO_TEST, "The group is called Train.",
              ("predict maps Train --caps_directory caps --participants_tsv "
               "caps/split/test_baseline.tsv",), "refuse", "no data group"),
    Situation("train-under-another-name", NO_TEST, "The table of train is given under a new name.",
              (PREDICT.format(TRAIN_TABLE),), "refuse", PEOPLE),
    Situation("validation-under-another-name", NO_TEST,
              "The table of validation is given under a new name.",
              (PREDICT.format(VALIDATION_TABLE),), "refuse", PEOPLE),
    Situation("one-of-train-in-the-test-set", NO_TEST, "One of train is among the test set.",
              (group(unseen, seen, *NEW), GROUP), "refuse", "1 of 6 participants"),
    Situation("one-of-validation-in-the-test-set", NO_TEST,
              "One of validation is among the test set.",
              (group(unseen, chosen_on), GROUP), "refuse", "1 of 2 participants"),
    Situation("folder-of-split-tables", NO_TEST, "The folder of a split is given for a table.",
              (PREDICT.format("caps/split/2_fold/split-0"),), "refuse", PEOPLE),
    Situation("seen-people-by-overwriting", NO_TEST,
              "A good group is redefined with people of train.",
              (TEST, TEST.replace("caps/split/test_baseline.tsv", TRAIN_TABLE) + " --overwrite"),
              "refuse", PEOPLE),
    Situation("interpreted-on-train", NO_TEST,
              "Maps are made of people of train, as if of new ones.",
              ("interpret maps new why gradients --caps_directory caps --participants_tsv "
               + TRAIN_TABLE,), "refuse", PEOPLE),
    Situation("one-image-of-train", NO_TEST,
              "The image of one of train is given alone, by its name.",
              (scan(seen, "x.nii.gz"),
               lambda world: IMAGE + f"x.nii.gz --participant {seen(world)}"),
              "refuse", PEOPLE),
    Situation("one-anonymous-image-of-train", NO_TEST,
              "The image of one of train is given alone, without a name.",
              (scan(seen, "x.nii.gz"), IMAGE + "x.nii.gz"), "refuse", "under another name"),
    Situation("second-trial-of-a-search", NO_TEST,
              "A test set is evaluated by a second trial of one search.",
              (BEST, TEST.replace("predict maps", "predict search/trials/trial-0001")), "refuse",
              "trial-0000 of the same search was evaluated on 6 participants"),
    Situation("second-trial-under-another-name", NO_TEST,
              "The same, with another name of the test set.",
              (BEST, PREDICT.format("caps/split/test_baseline.tsv").replace(
                  "predict maps", "predict search/trials/trial-0001")), "refuse",
              "chooses by them"),
    Situation("people-that-the-search-saw", NO_TEST,
              "The best trial of a search is evaluated on people whom the search saw.",
              (PREDICT.format("caps/split/2_fold/split-1/validation_baseline.tsv").replace(
                  "predict maps", "predict search/trials/trial-0000"),), "refuse", PEOPLE),
    Situation("group-that-is-called-like-train", NO_TEST, "The name of a test set contains train.",
              (TEST.replace("maps test", "maps test-of-train"),), "warn", "contains train"),
    # Biased split: visits, slices, patches, people under two names.
    Situation("visits-on-both-sides", SPLIT,
              "The first visit is in train, the second in validation.",
              (splits(lambda w: w.train, lambda w: [(seen(w), "ses-M024"), *w.validation]), TRAIN),
              "refuse", "1 participant of validation is also in train"),
    Situation("session-on-both-sides", SPLIT, "A session is in train and in validation.",
              (splits(lambda w: [*w.train, chosen_on(w)], lambda w: w.validation), TRAIN),
              "refuse", "1 participant of validation is also in train"),
    Situation("slices-on-both-sides", SPLIT,
              "One slice of an image is a row of train, another one of validation.",
              (splits(lambda w: [*w.train, NEW[0]], lambda w: [*w.validation, NEW[0]]),
               *(edit(f"mine/{name}.tsv", lambda _, t: t.assign(slice_id=range(len(t))))
                 for name in ("train", "validation_baseline")), TRAIN),
              "refuse", "also in train"),
    Situation("session-twice-in-train", SPLIT,
              "A session has two rows in train, under two spellings of the person.",
              (splits(lambda w: [*w.train, NEW[0], NEW[0].lower()], lambda w: w.validation), TRAIN),
              "refuse", "twice in one table"),
    Situation("leading-zeros-on-the-other-side", SPLIT,
              "Validation has a person of train with another number of zeros.",
              (splits(lambda w: w.train, lambda w: [*w.validation, w.respelt()["zeros"]]), TRAIN),
              "refuse", "also in train"),
    Situation("small-letters-on-the-other-side", SPLIT,
              "Validation has a person of train in small letters.",
              (splits(lambda w: w.train, lambda w: [*w.validation, w.respelt()["case"]]), TRAIN),
              "refuse", "also in train"),
    Situation("prefix-lost-on-the-other-side", SPLIT,
              "Validation has a person of train without the name of the data set.",
              (splits(lambda w: w.train, lambda w: [*w.validation, w.respelt()["prefix"]]), TRAIN),
              "refuse", "also in train"),
    Situation("one-image-under-two-names", SPLIT,
              "Validation has the image of a person of train under another name.",
              (splits(lambda w: w.train, lambda w: [*w.validation, "sub-X901"]), TRAIN),
              "refuse", "also in train of split 0 under another name"),
    Situation("another-visit-in-the-test-set", SPLIT,
              "The test set has a later visit of one of train.",
              (group(lambda w: (seen(w), "ses-M024")), GROUP), "refuse", PEOPLE),
    Situation("zeros-in-the-test-set", SPLIT,
              "The test set has one of train with another number of zeros.",
              (group(respelt("zeros")), GROUP), "refuse", PEOPLE),
    Situation("small-letters-in-the-test-set", SPLIT,
              "The test set has one of train in small letters.",
              (group(respelt("case")), GROUP), "refuse", PEOPLE),
    Situation("prefix-lost-in-the-test-set", SPLIT,
              "The test set has one of train without the name of the data set.",
              (group(respelt("prefix")), GROUP), "refuse", PEOPLE),
    Situation("renamed-image-in-the-test-set", SPLIT,
              "The test set has the image of one of train under another name.",
              (group("sub-X901"), GROUP), "refuse", "under another name"),
    Situation("session-twice-in-the-test-set", SPLIT,
              "A session has two rows in the test set, under two spellings of the person.",
              (group(*NEW, NEW[0].lower()), GROUP), "refuse", "twice in data group new"),
    Situation("image-twice-in-the-test-set", SPLIT, "The test set has one image under two names.",
              (group(NEW[0], NEW[1], "sub-X903"), GROUP), "warn", "names of several participants"),
    Situation("family-on-both-sides", SPLIT, "A family is in train and in test.",
              (family_tables, f"{CHECK} families --group_by family"), "refuse", "family"),
    Situation("person-under-two-ids", SPLIT,
              "Two ids on both sides have one birth and the same measures.",
              (twin_tables, f"{CHECK} twins"), "warn", "may be one person"),
    # Late split: what was decided before the test set was set apart, or with it.
    Situation("test-people-in-train", LATE, "Somebody of the test set is in train.",
              (edit("caps/split/2_fold/split-0/train.tsv", with_row(unseen)),
               FOLDS.replace("folds", "caps/split/2_fold")), "refuse", "in the test set"),
    Situation("folds-of-everybody", LATE,
              "Folds are made of all people, although a test set was set apart.",
              ("tsvtools kfold caps/labels.tsv --n_splits 2",
               FOLDS.replace("folds", "caps/2_fold")),
              "refuse", "in the test set"),
    Situation("test-set-of-folds-of-everybody", LATE,
              "The same with tables that were copied elsewhere, which the evaluation finds.",
              ("tsvtools kfold caps/labels.tsv --n_splits 2",
               lambda w: shutil.copytree("caps/2_fold", "folds"), FOLDS,
               TEST.replace("maps test", "out test")), "refuse", PEOPLE),
    Situation("table-edited-with-a-known-person", LATE,
              "Somebody of validation was put into train by hand.",
              (edit("caps/split/2_fold/split-0/train.tsv", with_row(chosen_on)),
               FOLDS.replace("folds", "caps/split/2_fold")), "refuse", "was edited after"),
    Situation("table-edited-with-a-stranger", LATE, "Somebody new was put into train by hand.",
              (edit("caps/split/2_fold/split-0/train.tsv", with_row(lambda w: NEW[0])),
               FOLDS.replace("folds", "caps/split/2_fold")), "warn", "was edited since the split"),
    Situation("test-table-edited-with-a-known-person", LATE,
              "Somebody of train was put into the table of the test set by hand.",
              (edit("caps/split/test_baseline.tsv", with_row(seen)), TEST), "refuse", "was edited"),
    Situation("sub-label-divided-otherwise", LATE,
              "Two classes are divided again, against the sets of all classes.",
              (sub_labels, f"{CHECK} labels"), "refuse", "LEAK"),
    Situation("look-at-a-sealed-group", LATE,
              "A sealed test set is evaluated while models are chosen.",
              (SEAL, KNOWN), "refuse", "test is sealed"),
    Situation("look-at-a-sealed-group-with-a-reason", LATE, "The same, with a reason.",
              (SEAL, KNOWN + " --accept_leakage curious"), "refuse", "test is sealed"),
    Situation("sealed-people-under-another-name", LATE,
              "Some of a sealed test set are a data group of another name.",
              (SEAL, group(unseen), GROUP), "refuse", "sealed data group test"),
    Situation("sealed-group-interpreted", LATE,
              "It is looked where the signal lies in a sealed test set.",
              (SEAL, INTERPRET), "refuse", "test is sealed"),
    Situation("sealed-group-overwritten", LATE, "A sealed test set is redefined.",
              (SEAL, TEST + " --overwrite"), "refuse", "test is sealed"),
    Situation("second-look-at-an-unsealed-group", LATE,
              "Another model is evaluated after the one look at a sealed test set.",
              (SEAL, UNSEAL, KNOWN.replace("-s 0", "-s 1")), "refuse", "one evaluation"),
    Situation("second-look-under-another-name", LATE,
              "The people of an unsealed test set are evaluated again under another name.",
              (SEAL, UNSEAL, PREDICT.format("caps/split/test_baseline.tsv")), "refuse",
              "one evaluation"),
    Situation("sealed-after-a-look", LATE, "A test set is sealed that was looked at before.",
              (TEST, SEAL.replace("maps test", "maps kept")), "refuse", "comes too late"),
    # Biased transfer.
    Situation("source-saw-validation", TRANSFER,
              "Somebody of validation was in train of the source.",
              (splits(lambda w: [*NEW, *w.test], lambda w: w.train[:2]), FROM + "maps"), "refuse",
              "in train of the same split of"),
    Situation("source-with-other-splits", TRANSFER,
              "Train and validation of the source are exchanged.",
              (swapped, FROM + "maps"), "refuse", "in train of the same split of"),
    Situation("source-of-the-source-saw-validation", TRANSFER,
              "Somebody of validation was in train of the source of the source.",
              (splits(lambda w: w.test, lambda w: w.train[:2]), FROM + "child"), "refuse", "maps"),
    Situation("source-saw-validation-respelt", TRANSFER,
              "Somebody of validation was in train of the source under another spelling.",
              (splits(lambda w: w.test, lambda w: [w.respelt()["prefix"], w.respelt()["case"]]),
               FROM + "maps"), "refuse", "in train of the same split of"),
    Situation("test-set-seen-by-the-source", TRANSFER,
              "The test set holds one whom the source saw.",
              (group(seen), GROUP.replace("predict maps", "predict child").replace(" -s 0", "")),
              "refuse", "maps"),
    Situation("test-set-seen-by-the-source-of-the-source", TRANSFER,
              "The test set holds one whom the source of the source saw.",
              (group(chosen_on),
               GROUP.replace("predict maps", "predict grandchild").replace(" -s 0", "")),
              "refuse", "maps"),
    Situation("image-seen-by-the-source", TRANSFER,
              "The test set holds an image that the source saw under another name.",
              (group("sub-X901"), GROUP.replace("predict maps",
               "predict child").replace(" -s 0", "")),
              "refuse", "under another name"),
    Situation("test-set-seen-by-an-imported-model", TRANSFER,
              "The test set holds one whom a model of release 1.x saw.",
              (group(seen), GROUP.replace("predict maps", "predict imported")), "refuse", PEOPLE),
    Situation("test-set-seen-by-an-imported-source", TRANSFER,
              "The test set holds one whom the source, of release 1.x, saw.",
              (group(seen),
               GROUP.replace("predict maps", "predict of-imported").replace(" -s 0", "")),
              "refuse", "imported"),
    Situation("one-image-seen-by-the-source", TRANSFER,
              "A single image was seen by the source alone.",
              (scan(seen, "x.nii.gz"),
               (IMAGE + "x.nii.gz").replace("predict maps", "predict child").replace(" -s 0", "")),
              "refuse", "under another name"),
    Situation("source-saw-the-test-set", TRANSFER,
              "The source saw somebody of the test set that was set apart.",
              (lambda w: edit_source(w), FOLDS.replace("folds", "caps/split/2_fold")
               + " --transfer_path spoilt"), "warn", "predict will refuse"),
    # Biased ensemble.
    Situation("ensemble-on-train-of-another-split", ENSEMBLE,
              "The models of all splits speak together about people of train of one.",
              (PREDICT.format(TRAIN_TABLE).replace(" -s 0", "") + " --ensemble",), "refuse",
               PEOPLE),
    Situation("ensemble-weighed-on-its-own-validation", ENSEMBLE,
              "Splits are weighed on validation, and evaluated on it.",
              (PREDICT.format(VALIDATION_TABLE).replace(" -s 0", "")
               + " --ensemble --ensemble_weights validation",), "refuse", PEOPLE),
    Situation("votes-of-parts-on-validation", ENSEMBLE,
              "Patches are weighed on validation, and their vote is evaluated on it.",
              (votes_on, GROUP.replace("predict maps", "predict patches")), "refuse", PEOPLE),
    Situation("ensemble-on-a-sealed-group", ENSEMBLE,
              "The models of all splits speak together about a sealed test set.",
              (SEAL, KNOWN.replace(" -s 0", "") + " --ensemble"), "refuse", "test is sealed"),
    Situation("ensemble-after-the-one-look", ENSEMBLE,
              "An ensemble is tried after the one evaluation of a sealed test set.",
              (SEAL, UNSEAL, KNOWN.replace(" -s 0", "") + " --ensemble"), "refuse",
              "one evaluation"),
    # Clean work.
    Situation("test-set", CLEAN, "The test set is evaluated.", (TEST,), "clean"),
    Situation("two-visits-in-the-test-set", CLEAN, "The test set has two visits of one person.",
              (group(unseen, lambda w: (unseen(w), "ses-M024")), GROUP), "clean"),
    Situation("new-people", CLEAN, "People whom no table knows are evaluated.",
              (group(*NEW), GROUP), "clean"),
    Situation("known-group-by-another-model", CLEAN, "A group is evaluated by the next split.",
              (TEST, KNOWN.replace("-s 0", "-s 1")), "clean"),
    Situation("one-new-image", CLEAN, "A single image of somebody new is evaluated.",
              (scan(lambda w: NEW[0], "x.nii.gz"), IMAGE + "x.nii.gz --participant N000"), "clean"),
    Situation("one-look-at-a-sealed-group", CLEAN, "A sealed test set has its one evaluation.",
              (SEAL, UNSEAL), "clean"),
    Situation("ensemble-on-the-test-set", CLEAN,
              "The models of all splits speak about the test set.",
              (TEST.replace(" -s 0", "") + " --ensemble --ensemble_weights validation",), "clean"),
    Situation("interpretation-of-the-test-set", CLEAN, "The evaluated test set is interpreted.",
              (TEST, INTERPRET), "clean"),
    Situation("folds-as-they-were-made", CLEAN, "Folds are trained on as kfold wrote them.",
              (FOLDS.replace("folds", "caps/split/2_fold"),), "clean"),
    Situation("source-on-the-same-splits", CLEAN, "Source and model have the same splits.",
              (folds, FOLDS + " --transfer_path maps"), "clean"),
    Situation("visits-on-one-side", CLEAN, "Two visits of one person are in train.",
              (splits(lambda w: [*w.train, (seen(w), "ses-M024")], lambda w: w.validation), TRAIN),
              "clean"),
    Situation("test-set-of-the-last-model", CLEAN,
              "The test set is evaluated by a model whose ancestors have not seen it.",
              (TEST.replace("predict maps", "predict grandchild").replace(" -s 0", ""),), "clean"),
    Situation("best-trial-of-a-search", CLEAN,
              "The best trial of a search is evaluated, and interpreted, on the test set.",
              (BEST, INTERPRET.replace("interpret maps", "interpret search/trials/trial-0000")),
              "clean"),
    Situation("reason-without-need", CLEAN, "A reason is given where nothing is refused.",
              (TEST + " --accept_leakage to_be_sure",), "clean"),
    Situation("tables-as-they-were-made", CLEAN, "The tables of split and kfold are checked.",
              (f"{CHECK} caps/split",), "clean"),
]  # fmt: skip


def edit_source(world: World) -> None:
    """Make a MAPS that saw somebody of the test set, so that whoever starts from it is told."""
    shutil.copytree(world.folder / "maps", world.folder / "spoilt")
    path = world.folder / "spoilt/groups/train+validation.tsv"
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    more = table.iloc[:1].assign(participant_id=world.test[0], image_sha256="")
    pd.concat([table, more]).to_csv(path, sep="\t", index=False)


@pytest.fixture(scope="module")
def world_once(prepared_once, config_of, published_of, tmp_path_factory):
    """The world before anything happens; nobody writes to it."""
    from clinicadl.cli.main import run

    def ok(*words: object) -> None:
        with pytest.raises(SystemExit) as done:
            run([str(word) for word in words])
        assert not done.value.code

    folder = tmp_path_factory.mktemp("leaking") / "world"
    folder.mkdir()
    build(folder, prepared_once, config_of, published_of, ok)
    return folder


@pytest.fixture
def world(world_once, tmp_path, monkeypatch):
    """A world of one's own, whose models know where their data lie in it."""
    folder = Path(shutil.copytree(world_once, tmp_path / "world"))
    monkeypatch.chdir(folder)
    return World(folder)


def play(world: World, invoke: Callable, steps: tuple) -> list[tuple[int, str]]:
    """Do one step after another; return exit code and words of each command."""
    said = []
    for step in steps:
        command = step if isinstance(step, str) else step(world)
        if isinstance(command, str) and (isinstance(step, str) or command.startswith("predict")):
            code, out, err = invoke(*command.split())
            said.append((code, out + err))
    return said


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_there_are_forty_situations_of_each_scenario_and_ten_clean_ones():
    assert len({one.name for one in SITUATIONS}) == len(SITUATIONS)
    leaking = [one for one in SITUATIONS if one.scenario != CLEAN]
    assert len(leaking) >= 40
    assert {one.scenario for one in leaking} == {NO_TEST, SPLIT, LATE, TRANSFER, ENSEMBLE}
    assert len(SITUATIONS) - len(leaking) >= 10
    assert all((one.outcome == "clean") == (one.scenario == CLEAN) for one in SITUATIONS)


@pytest.mark.parametrize("situation", SITUATIONS, ids=[one.name for one in SITUATIONS])
def test_situation(situation, world, invoke, caplog):
    caplog.set_level(logging.WARNING)
    *before, last = situation.steps
    assert all(code == 0 for code, _ in play(world, invoke, tuple(before)))
    before_it = files(world.folder)
    caplog.clear()
    ((code, said),) = play(world, invoke, (last,))
    said += caplog.text
    assert code == (4 if situation.outcome == "refuse" else 0), said
    assert situation.words in said
    if situation.outcome == "refuse":
        assert files(world.folder) == before_it
    if situation.outcome == "clean":
        assert "leak" not in said.lower().replace("0 leaks", "")
        for path in world.folder.glob("maps/split-*/*/*/guard.json"):
            assert json.loads(path.read_text())["accepted"] is None


def test_the_documentation_lists_every_situation():
    page = DOCS.read_text(encoding="utf-8")
    for one in SITUATIONS:
        outcome = {"refuse": "refused", "warn": "told", "clean": "goes on"}[one.outcome]
        assert f"| `{one.name}` | {one.what} | {outcome} |\n" in page
