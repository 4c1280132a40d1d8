"""Experiments in which every setting has another value than its default, and a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from clinicadl.config.base import Choice, Table
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.transforms import AUGMENTATIONS

NAMES = ("chromium", "chromium-browser", "google-chrome")
PLAYWRIGHT = "playwright-core@1.65.1"
DATA = {"caps_directory": "a caps", "preprocessing_json": "t1, it's", "tsv_directory": "out/2_fold"}

CANDIDATES: tuple[Any, ...] = (
    True, False, 2, 3, 7, 16, 0.25, 0.75, 0.05, 60.0, 12.5, (0, 2), (2, 3), (0.25, 0.5), (1.5, 2.5),
    (8, 16, 32), ("a b", "c,d", 'e"f', "g"), "other", "FRA",
)  # fmt: skip
"""Tried in this order: the first that a setting takes, and that is not its default."""
GIVEN: dict[tuple[str, ...], Any] = {
    ("Classification", "loss"): "CrossEntropyLoss",
    ("Classification", "selection_metrics"): ("BA", "loss"),
    ("task", "selection_metrics"): ("loss", "MAE"),
    ("tracking", "track_exp", "mlflow_uri"): "sqlite:////a/b.db",
    ("optimization", "averaging", "swa_epoch"): 3,
    ("optimization", "epochs"): 9,
    ("transforms", "normalization", "high_percentile"): 60.5,
    ("task", "label_code"): {"AD": 0, "C N": 1},
    ("network", "convolutions_dict"): {
        "conv0": {"out_channels": 4, "n_conv": 2, "d_reduction": "stride"},
        "conv1": {"in_channels": 4, "out_channels": 8},
    },
    ("transforms", "augmentation"): (),
    ("data", "diagnoses"): ("AD", "M C,I", "[x]"),
    ("validation", "n_splits"): 3,
    ("validation", "split"): (2, 0),
}
"""What no candidate fits, or has to fit something else."""
TOGETHER = {
    "adaptive_learning_rate": False, "strategy": "ddp", "compile": False, "normalize": True,
    "extra_metrics": (),
}  # fmt: skip
"""What excludes something else, at its default; these have an experiment of their own."""


def other(model: type[Any], name: str, path: tuple[str, ...]) -> Any:
    """Return a value of a setting that is not its default."""
    of_row = (model.__name__, name)
    if of_row in GIVEN or (*path, name) in GIVEN:
        return GIVEN.get(of_row, GIVEN.get((*path, name)))
    field = model.model_fields[name]
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, *field.metadata, "x"])
    options = getattr(field.annotation, "__args__", ())
    words = [one for option in options for one in getattr(option, "__args__", (option,))]
    for value in (*(one for one in reversed(words) if isinstance(one, str)), *CANDIDATES):
        try:
            found = adapter.validate_python(value)
        except ValidationError:
            continue
        if found != field.get_default() and isinstance(found, type(value) | Path):
            return value
    raise AssertionError(f"no value for {path}, {name}")


def others(model: type[Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return every setting of a section or of a row with another value."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if any(isinstance(one, Table) for one in field.metadata) or name == "name":
            continue
        found[name] = TOGETHER[name] if name in TOGETHER else other(model, name, path)
    return found


def rows_of(model: type[Any], name: str) -> list[type[Choice]]:
    """Return the rows of a setting that takes one."""
    (table,) = (one for one in model.model_fields[name].metadata if isinstance(one, Table))
    return list(table.all_rows().values())


def chosen(row: type[Choice], path: tuple[str, ...]) -> dict[str, Any]:
    """Return a row with every setting of its own at another value."""
    return {"name": row.model_fields["name"].default, **others(row, path)}


def every_experiment() -> list[dict[str, Any]]:
    """Return experiments that together have every setting of every row at another value."""
    of = {name: field.annotation for name, field in ExperimentConfig.model_fields.items()}
    tasks = rows_of(ExperimentConfig, "task")
    # What learns from two kinds of images at once is refused by train, whatever its settings.
    known = [row for row in rows_of(ExperimentConfig, "network") if row.n_domains == 1]
    # Networks with the same settings are one to the form.
    networks = [*{frozenset(row.model_fields): row for row in known}.values()]
    inner = [(section, name) for section, name in (
        ("optimization", "schedule"), ("optimization", "averaging"),
        ("transforms", "normalization"), ("tracking", "track_exp"),
    )]  # fmt: skip
    made: list[dict[str, Any]] = []
    for i, network in enumerate(networks):
        fitting = [task for task in tasks if task.kind in network.tasks]
        task = fitting[i % len(fitting)]
        one = {
            "data": DATA, "task": chosen(task, ("task",)), "network": chosen(network, ("network",)),
        }  # fmt: skip
        for section, name in inner:
            rows = rows_of(of[section], name)
            if i < len(rows):
                one.setdefault(section, {})[name] = chosen(rows[i], (section, name))
        made.append(one)
    first, second, *_ = made
    for name, section in of.items():
        if name not in ("task", "network", "multi_network"):
            made[0][name] = {**others(section, (name,)), **first.get(name, {})}
    first["multi_network"] = True
    second["compute"] = {"gpu": False}
    augmented = [chosen(row, ("transforms", "augmentation")) for row in AUGMENTATIONS.values()]
    first["transforms"]["augmentation"] = augmented
    # What excludes other settings.
    plain = {"data": DATA, "task": {"name": "classification"}}
    made += [
        {**plain, "optimization": {"adaptive_learning_rate": True}, "compute": {"compile": True}},
        {**plain, "transforms": {"normalize": False}, "compute": {"strategy": "fsdp"}},
        {"data": {**DATA, "diagnoses": ()}, "task": {"loss": "MultiMarginLoss"}},
    ]
    return made


@pytest.fixture(scope="session")
def experiments() -> list[dict[str, Any]]:
    """Experiments that together have every setting of every row at another value."""
    return every_experiment()


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return a function that drives the form in Chromium, or skip with the reason."""
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    npm, node = shutil.which("npm"), shutil.which("node")
    if browser is None or npm is None or node is None:
        pytest.skip("Chromium, node or npm is not on this machine")
    home = tmp_path_factory.mktemp("playwright")
    # Its library alone: a browser is never downloaded.
    said = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", home,
         PLAYWRIGHT],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if said.returncode:
        pytest.skip(f"{PLAYWRIGHT} cannot be installed: {said.stderr.strip().splitlines()[-1:]}")

    def driven(url: str, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        asked = {"url": url, "steps": steps, "modules": str(home), "chromium": browser, **more}
        done = subprocess.run(
            [node, Path(__file__).with_name("drive.mjs")], input=json.dumps(asked),
            capture_output=True, text=True, timeout=280, check=True,
        )  # fmt: skip
        seen: dict[str, Any] = json.loads(done.stdout)
        assert "error" not in seen, (seen["step"], seen["error"], seen["console"])
        return seen

    yield driven
    shutil.rmtree(home)
