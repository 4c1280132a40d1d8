"""Networks become ONNX files that say the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from clinicadl import ExportConfig, export_onnx
from clinicadl.config.network import NETWORKS
from clinicadl.errors import (
    InvalidDataError,
    MissingExtraError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.hub import export
from clinicadl.layouts.maps import folder, names
from clinicadl.networks import weights
from clinicadl.networks.fits import check_input
from clinicadl.networks.streams import seeded

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
GRIDS = [
    (1, 33, 20), (3, 32, 32), (1, 32, 33, 35), (1, 64, 64, 64), (1, 96, 96, 96), (3, 224, 224),
]  # fmt: skip
ALIKE = {
    "Conv4_FC3": "Conv5_FC3", "AE_Conv4_FC3": "AE_Conv5_FC3", "ResNet18_3D": "ResNet10_3D",
    "ResNet34_3D": "ResNet10_3D", "CVAE_3D_final_conv": "CVAE_3D_half", "CVAE_3D": "CVAE_3D_half",
}  # fmt: skip
"""Networks of the operations of another one, only more or fewer of them."""
QUICK = ExportConfig(selection_metric="loss")


def grid_of(name):
    """The first grid that a network takes; of some, it is the only one, and large."""
    row = NETWORKS[name]
    settings = row(**row.needed)
    for grid in (*GRIDS, row.example):
        try:
            check_input(settings, grid)
        except UsageError:
            continue
        return grid
    raise AssertionError(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_says_the_same_as_onnx(name, tmp_path):
    if name in ALIKE:
        pytest.skip(f"it has the operations of {ALIKE[name]}, and each takes seconds")
    row, grid = NETWORKS[name], grid_of(name)
    if np.prod(grid) > 10**6:
        pytest.skip(f"{name} takes {grid} alone, which takes gigabytes and minutes")
    with seeded(0, "weights"):
        n_outputs = 0 if "reconstruction" in row.tasks else 3
        network = row(**row.needed).build(grid, n_outputs).eval()
    # It compares the outputs itself; here they are compared once more, by other images.
    export.write(network, grid, tmp_path / "x.onnx", {})
    with seeded(1, "images"):
        images = torch.rand(3, *grid)
    with torch.no_grad():
        wanted = export.Plain(network)(images)
    said = onnxruntime.InferenceSession(tmp_path / "x.onnx").run(None, {"image": images.numpy()})
    for one, other in zip(said, wanted, strict=True):
        scale = max(1.0, float(other.abs().max()))
        np.testing.assert_allclose(one / scale, other.numpy() / scale, atol=1e-5)


def test_a_trained_network_becomes_a_file_that_says_what_it_needs(trained_once, tmp_path, invoke):
    file = tmp_path / "model.onnx"
    code, out, err = invoke("hub", "export", trained_once, file, "--selection_metric", "loss")
    assert (code, out) == (0, f"ONNX: {file}\n"), err
    model = onnx.load(file)
    onnx.checker.check_model(model)
    (facts,) = [json.loads(one.value) for one in model.metadata_props if one.key == "clinicadl"]
    assert facts["classes"] == {"AD": 0, "CN": 1}
    assert facts["input_shape"] == [1, 18, 20, 17]
    assert facts["normalization"] == {"name": "min-max", "only_nonzero": False}
    record = folder.open_maps(trained_once).record
    network = record.config.network.build(record.input_shape, 2)
    network.load_state_dict(weights.read(names.weights(trained_once, 0, "loss")).state)
    with seeded(1, "images"):
        images = torch.rand(3, 1, 18, 20, 17)
    (said,) = onnxruntime.InferenceSession(file).run(None, {"image": images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(said, network.eval()(images).numpy(), atol=1e-5)
    with pytest.raises(OutputError, match="exists already"):
        export_onnx(QUICK, trained_once, file)


def test_what_is_not_one_network_is_refused(trained_once, tmp_path):
    for config, name, kind, match in (
        (ExportConfig(), "x.onnx", UsageError, "several: split 0 by|holds one network"),
        (ExportConfig(split=1), "x.onnx", MissingInputError, "There: split 0 by BA"),
        (QUICK, "x.pt", UsageError, "does not end in .onnx"),
    ):
        with pytest.raises(kind, match=match):
            export_onnx(config, trained_once, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_says_something_else_is_not_kept(trained_once, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(InvalidDataError, match="gives other outputs"):
        export_onnx(QUICK, trained_once, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


class Odd(torch.nn.Module):
    """What depends on the values of an image has no counterpart."""

    def forward(self, image):
        return image * 2 if float(image.sum()) > 1e6 else image


class OfTwo(torch.nn.Module):
    """One that takes the size of its first batch for that of all."""

    def forward(self, image):
        return torch.zeros(1, 4, 4).expand(len(image), -1, -1) + image


def test_a_network_of_one_size_of_batch_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"batches of any size \(found: OfTwo\)"):
        export.write(OfTwo().eval(), (4, 4), tmp_path / "x.onnx", {})


def test_a_network_that_cannot_be_written_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be written as ONNX \(found: Odd\)"):
        export.write(Odd().eval(), (1, 4, 4), tmp_path / "x.onnx", {})


def test_a_missing_extra_is_named(trained_once, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda package: None)
    with pytest.raises(MissingExtraError, match=r"clinicadl\[onnx\]"):
        export_onnx(QUICK, trained_once, tmp_path / "x.onnx")
