"""What a trained model says of registered images, without a trace in its MAPS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clinicadl.config.bids_app import BidsAppConfig
from clinicadl.config.mode import RoiMode
from clinicadl.config.predict import PredictConfig
from clinicadl.config.preprocessing import T1Linear
from clinicadl.engine import groups, one_image, predict
from clinicadl.engine.seen import seen_by
from clinicadl.errors import MissingInputError, UsageError
from clinicadl.guard import check
from clinicadl.layouts import caps, files
from clinicadl.layouts.caps import Session
from clinicadl.layouts.ids import PARTICIPANT, SESSION
from clinicadl.layouts.maps import folder, names, outcomes
from clinicadl.tasks.base import IMAGE

GROUP = "bids-app"
"""Data group of the images, in a copy of the MAPS."""
SPLIT, CHOSEN_BY = "split", "chosen_by"
ENSEMBLE = "ensemble"


class Model(NamedTuple):
    """A MAPS that can say something of registered images."""

    maps: Path
    uncropped: bool
    """Whether it takes the whole grid."""
    sidecar: dict[str, Any]
    """What is said of its predictions, besides themselves."""


def ready(config: BidsAppConfig, maps: Path, sessions: Sequence[Session]) -> Model:
    """Return the model, where it may say something of these sessions.

    Raises
    ------
    UsageError
        It takes other images, or says nothing of a whole image.
    MissingInputError
        There is no MAPS, or nothing in it is trained.
    LeakageError
        It has seen some of the participants.
    """
    found = folder.open_maps(maps)
    extractions = one_image.extractions_of(found)
    preprocessing = extractions[0].preprocessing
    if len(extractions) != 1 or not isinstance(preprocessing, T1Linear):
        raise UsageError(
            "The model takes other images than those of t1-linear", where=maps,
            found=", ".join(one.preprocessing.name for one in extractions),
            fix="Prepare its images, and use clinicadl predict",
        )  # fmt: skip
    task = found.record.config.task.name
    if not found.record.config.task.build(found.record.label_code).labels:
        raise UsageError(
            "The model gives back images and concludes nothing", where=maps, found=task,
            fix="Use clinicadl predict",
        )  # fmt: skip
    if isinstance(caps.mode_settings(extractions[0]), RoiMode):
        raise UsageError(
            "The model looks at regions, whose masks are in the CAPS of training", where=maps,
            fix="Use clinicadl predict",
        )  # fmt: skip
    trained = groups.trained(maps)
    if not trained:
        raise MissingInputError("No split of the MAPS is trained", where=maps)
    if config.ensemble and len({one.split for one in trained}) < 2:
        raise UsageError(
            "An ensemble needs the models of two splits", where="--ensemble",
            fix="Train the other splits, or leave it out",
        )  # fmt: skip
    verdict = check.evaluation(GROUP, sessions, seen=seen_by(maps, sessions), hashes={})
    accepted = verdict.enforce(config.accept_leakage).accepted
    code = found.record.label_code
    sidecar = {
        "Description": "What each trained model says of each image",
        "Model": maps.resolve().name,
        "ModelSHA256": files.sha256(names.record(maps)),
        "Classes": {f"proba{node}": label for label, node in code.items()},
        "AcceptedLeakage": accepted,
    }
    return Model(maps, preprocessing.use_uncropped_image, sidecar)


@contextmanager
def copied(model: Model, work: Path) -> Iterator[Path]:
    """Give a copy of the MAPS: many may ask the same model at once, and none leaves a trace."""
    copy = work / "maps"
    with files.writing(copy):
        shutil.copytree(model.maps, copy)
    yield copy


def say(config: BidsAppConfig, maps: Path, session: Session, image: Path) -> pd.DataFrame:
    """Return what the models of a copied MAPS say of one image, one row a model.

    Raises
    ------
    InvalidDataError
        The image is damaged, or lies on another grid than those of training.
    LeakageError
        The models have seen it, under whatever name.
    """
    wanted = PredictConfig(
        image=(image,),
        participant=session[0],
        session=session[1],
        overwrite=folder.has_group(maps, GROUP),
        ensemble=config.ensemble,
        gpu=config.gpu,
        accept_leakage=config.accept_leakage,
    )
    planned = predict.ready(wanted, maps, GROUP)
    for _ in predict.run(planned):
        pass
    places = [
        *((str(model.split), *model) for model in planned.todo),
        *((ENSEMBLE, None, metric) for metric in planned.ensembles),
    ]
    tables = []
    for name, split, metric in places:
        home = names.results(maps, split, metric, GROUP)
        level = IMAGE if names.predictions(home, IMAGE).is_file() else planned.stored.mode
        said = outcomes.read_predictions(maps, split, metric, GROUP, level)
        kept = [str(column) for column in said if not str(column).startswith("true_")]
        said = said[kept]
        said.insert(2, SPLIT, name)
        said.insert(3, CHOSEN_BY, metric)
        tables.append(said)
    return pd.concat(tables, ignore_index=True).sort_values([PARTICIPANT, SESSION], kind="stable")
