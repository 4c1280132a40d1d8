"""A trained network as an ONNX file, which other programs run."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clinicadl.config.hub import ExportConfig
from clinicadl.engine import groups
from clinicadl.errors import (
    InvalidDataError,
    MissingExtraError,
    MissingInputError,
    UsageError,
    listed,
)
from clinicadl.layouts import files
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps.record import Record
from clinicadl.networks import weights
from clinicadl.networks.streams import seeded

TOLERANCE = 1e-5
"""Largest difference of an output, as a share of the largest output or of 1."""
SUFFIX = ".onnx"

_INPUT = "image"
_METADATA = "clinicadl"


class Chosen(NamedTuple):
    """One network of a best model."""

    split: int
    metric: str
    number: int | None


class Plain(nn.Module):
    """A network that gives plain tensors: what it says first, then all else that it says."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return all outputs."""
        said = self.network(image)
        return (said,) if isinstance(said, Tensor) else tuple(said)


def export(config: ExportConfig, maps: Path, file: Path) -> Path:
    """Write a trained network as ONNX, if ONNX Runtime then gives the same outputs.

    Parameters
    ----------
    config
        Which network.
    maps
        The MAPS.
    file
        The file to be, whose name ends in ``.onnx``.

    Returns
    -------
    The file. Its metadata say what the network needs as input, and which outputs mean what.

    Raises
    ------
    UsageError
        The MAPS has several such networks, or this one cannot be written as ONNX.
    MissingInputError
        It has none.
    OutputError
        The file exists.
    InvalidDataError
        ONNX Runtime gives other outputs.
    MissingExtraError
        The packages of ONNX are not installed.
    """
    _check_extra()
    if file.suffix != SUFFIX:
        raise UsageError(f"The name of the file does not end in {SUFFIX}", found=file)
    record = folder.open_maps(maps).record
    chosen = _chosen(config, maps)
    if not config.overwrite:
        files.refuse_existing(file)
    files.refuse_unwritable(file)
    task = record.config.task.build(record.label_code)
    network = record.config.network.build(record.input_shape, task.n_outputs)
    network.load_state_dict(weights.read(names.weights(maps, *chosen)).state)
    with files.whole_file(file) as temporary:
        write(network.eval(), record.input_shape, temporary, _facts(record, chosen))
    return file


def write(network: nn.Module, shape: tuple[int, ...], path: Path, facts: dict[str, Any]) -> None:
    """Write a network as ONNX, with a batch of any size.

    Parameters
    ----------
    network
        In evaluation mode, on the CPU.
    shape
        Of a sample, channel first.
    path
        The file.
    facts
        What is said beside it; JSON holds it.

    Raises
    ------
    UsageError
        An operation of the network has no counterpart in ONNX.
    InvalidDataError
        ONNX Runtime gives other outputs.
    """
    import onnx

    plain = Plain(network).eval()
    with seeded(0, "export"):
        images = torch.rand(2, *shape)
    with torch.no_grad():
        wanted = [one.numpy() for one in plain(images)]
    try:
        with warnings.catch_warnings(), _quiet():
            # Of torch about itself; nothing that a user can act on.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                plain, (images,), dynamo=True, input_names=[_INPUT], verbose=False,
                dynamic_shapes={_INPUT: {0: torch.export.Dim("batch")}},
                output_names=[f"output{number}" for number in range(len(wanted))],
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise UsageError(
            "The network cannot be written as ONNX", found=type(network).__name__,
            fix=f"An operation of it has no counterpart: {str(error).strip().splitlines()[0]}",
        ) from error  # fmt: skip
    assert program is not None  # noqa: S101  # it is with dynamo
    model = program.model_proto
    (given,) = model.graph.input
    if not given.type.tensor_type.shape.dim[0].dim_param:
        raise UsageError(
            "The network cannot be written as ONNX for batches of any size",
            found=type(network).__name__,
            fix="In its forward, write images.shape[0] where it asks for len(images)",
        )  # fmt: skip
    for name, text in {_METADATA: json.dumps(facts)}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text
    onnx.save(model, path)
    _refuse_other_outputs(path, images, wanted)


def _refuse_other_outputs(path: Path, images: Tensor, wanted: list[NDArray[np.float32]]) -> None:
    """Refuse a file of which ONNX Runtime makes something else than torch does.

    Raises
    ------
    InvalidDataError
        So it is.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # A batch of another size than the one that was traced, too.
    for n in (len(images), 1):
        said = session.run(None, {_INPUT: images[:n].numpy()})
        for one, other in zip(said, wanted, strict=True):
            largest = max(1.0, float(np.abs(other).max()))
            difference = float(np.abs(one - other[:n]).max()) / largest
            if not difference <= TOLERANCE:
                raise InvalidDataError(
                    "ONNX Runtime gives other outputs", where=path.name,
                    found=f"a difference of {difference:.1e}", fix="Use the MAPS",
                )  # fmt: skip


def _facts(record: Record, chosen: Chosen) -> dict[str, Any]:
    config, grid = record.config, record.image_grid
    affine = None if grid is None or grid.affine is None else [list(row) for row in grid.affine]
    transforms = config.transforms
    return {
        "task": config.task.name,
        "network": config.network.name,
        "split": chosen.split,
        "selection_metric": chosen.metric,
        "part": chosen.number,
        "input_shape": list(record.input_shape),
        "mode": record.extractions[0].get("mode", "image"),
        "preprocessing": [one.get("preprocessing") for one in record.extractions],
        "normalization": transforms.normalization.model_dump(mode="json")
        if transforms.normalize else None,
        "size_reduction_factor": transforms.size_reduction_factor
        if transforms.size_reduction else None,
        "image_shape": None if grid is None else list(grid.shape),
        "affine": affine,
        "classes": record.label_code,
        "labels": list(config.task.labels),
        "generated_by": record.generated_by,
    }  # fmt: skip


def _chosen(config: ExportConfig, maps: Path) -> Chosen:
    """Return the network that is meant.

    Raises
    ------
    MissingInputError
        There is none.
    UsageError
        There are several.
    """
    there = [
        Chosen(model.split, model.metric, number)
        for model in groups.trained(maps)
        for number in names.networks(maps, *model)
    ]
    found = [
        one
        for one in there
        if config.split in (None, one.split)
        and config.selection_metric in (None, one.metric)
        and config.network in (None, one.number)
    ]
    said = listed(
        f"split {one.split} by {one.metric}" + ("" if one.number is None else f", {one.number}")
        for one in found or there
    )
    if not found:
        raise MissingInputError(
            "There is no such trained network", where=maps, fix=f"There: {said}"
        )
    if len(found) > 1:
        raise UsageError(
            "An ONNX file holds one network, and there are several", where=maps, found=said,
            fix="Name one by --split, --selection_metric and --network",
        )  # fmt: skip
    return found[0]


def _check_extra() -> None:
    """Refuse to begin without the packages of ONNX.

    Raises
    ------
    MissingExtraError
        One is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "onnx")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own work from the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logger.setLevel(level)
