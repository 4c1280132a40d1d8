"""A user's own file adds a network, and runs only when it is named."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from clinicadl.config import plugins
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError

NETWORK = '''\
from typing import ClassVar, Literal

from torch import nn

from clinicadl.config.architecture import Architecture
from clinicadl.config.base import setting


class Shallow(Architecture):
    """One convolution, then a mean of each channel."""

    builds: ClassVar[str] = "my_networks:shallow"
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression")
    axes: ClassVar[tuple[int, ...]] = (3,)
    example: ClassVar[tuple[int, ...]] = (1, 8, 8, 8)
    reference: ClassVar[str] = "our laboratory"
    name: Literal["Shallow"] = "Shallow"
    n_channels: int = setting(4, "Channels of the convolution", ge=1)


def shallow(settings, input_shape, n_outputs):
    return nn.Sequential(
        nn.Conv3d(input_shape[0], settings.n_channels, 3), nn.ReLU(),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(settings.n_channels, n_outputs),
    )


NETWORKS = {"Shallow": Shallow}
'''


MODE = '''\
from typing import ClassVar, Literal

from clinicadl.config.base import Choice, setting


class Half(Choice):
    """The halves of the image along x."""

    builds: ClassVar[str] = "my_modes:halves"
    name: Literal["half"] = "half"
    margin: int = setting(1, "Voxels left out between the halves", unit="voxels", ge=0)


def halves(settings, shape):
    from clinicadl.data.parts import Parts, Window

    n = (shape[1] - settings.margin) // 2
    windows = tuple(
        Window((start, 0, 0), (start + n, *shape[2:])) for start in (0, shape[1] - n)
    )
    return Parts(tuple(shape), windows, ("half-low", "half-high"), (0, 1))


MODES = {"half": Half}
'''


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "my_networks.py"
    path.write_text(NETWORK)
    return path


def test_a_network_in_thirty_lines_is_trained_and_predicted(plugin, prepared, tmp_path, clinicadl):
    assert len(NETWORK.splitlines()) <= 30
    words = ["train", "classification", prepared, "tiny", prepared / "split/2_fold",
             tmp_path / "maps", "--n_splits", 2, "--split", 0, "--epochs", 1, "-np", 0, "--no-gpu",
             "-a", "Shallow", "--n_channels", 3]  # fmt: skip
    refused = clinicadl(*words)
    assert refused.returncode == 2
    said = clinicadl(*words, "--plugin", plugin)
    assert said.returncode == 0, said.stderr
    record = json.loads((tmp_path / "maps/maps.json").read_text())
    assert record["config"]["network"] == {"name": "Shallow", "n_channels": 3}
    assert list(record["plugins"]) == ["my_networks.py"]
    group = ["predict", tmp_path / "maps", "test", "--caps_directory", prepared,
             "--participants_tsv", prepared / "split/test_baseline.tsv", "-np", 0,
             "--no-gpu"]  # fmt: skip
    unnamed = clinicadl(*group)
    assert unnamed.returncode == 2
    assert "my_networks.py" in unnamed.stderr
    assert "--plugin" in unnamed.stderr
    assert not (tmp_path / "maps/groups/test").exists()
    plugin.write_text(NETWORK + "\n")
    said = clinicadl("--plugin", plugin, *group)
    assert said.returncode == 0, said.stderr
    assert "my_networks.py changed since the MAPS was made" in said.stderr
    said = clinicadl("train", "classification", "--help", f"--plugin={plugin}")
    assert "Shallow" in said.stdout
    assert "--n-channels" in said.stdout


@pytest.mark.parametrize(
    ("name", "text", "kind", "words"),
    [
        ("absent.py", None, MissingInputError, "does not exist"),
        ("json.py", NETWORK, UsageError, "another module has this name"),
        ("my-file.py", NETWORK, UsageError, "a name of its own"),
        ("my_notes.txt", NETWORK, UsageError, "a name of its own"),
        ("my_empty.py", "x = 1\n", InvalidDataError, "has no table"),
        ("my_wrong.py", "x = 1\ny = x.z\n", InvalidDataError, "line 2 .found: AttributeError"),
        ("my_syntax.py", "def\n", InvalidDataError, "SyntaxError"),
    ],
)
def test_a_file_that_is_no_plugin_is_refused(tmp_path, name, text, kind, words):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(kind, match=words):
        plugins.load(path)
    assert path.stem not in sys.modules or name == "json.py"
    assert name not in plugins.loaded()


def test_a_plugin_without_a_name_is_refused(clinicadl):
    for words in (["--plugin"], ["train", "--plugin", "--help"]):
        said = clinicadl(*words)
        assert said.returncode == 2
        assert "A plugin is named by its file" in said.stderr


def test_a_mode_in_thirty_lines_is_prepared_and_trained(prepared, tmp_path, clinicadl):
    assert len(MODE.splitlines()) <= 30
    path = tmp_path / "my_modes.py"
    path.write_text(MODE)
    words = ["prepare-data", "half", prepared, "custom", "-cn", "T1w.nii.gz", "-ej", "half",
             "--margin", 2, "-np", 1]  # fmt: skip
    assert clinicadl(*words).returncode == 2
    said = clinicadl(*words, "--plugin", path)
    assert said.returncode == 0, said.stderr
    train = ["train", "classification", prepared, "half", prepared / "split/2_fold",
             tmp_path / "maps", "--n_splits", 2, "--split", 0, "--epochs", 1, "-np", 0, "--no-gpu",
             "-a", "Conv4_FC3"]  # fmt: skip
    said = clinicadl(*train, "--plugin", path)
    assert said.returncode == 0, said.stderr
    record = json.loads((tmp_path / "maps/maps.json").read_text())
    assert record["input_shape"] == [1, 8, 20, 17]


SPAWNED = """
import multiprocessing, sys
from clinicadl.cli.main import run
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    run(sys.argv[1:])
"""


def test_other_processes_know_the_plugin_however_they_begin(prepared, tmp_path, clinicadl):
    path, script = tmp_path / "my_modes.py", tmp_path / "spawned.py"
    path.write_text(MODE)
    script.write_text(SPAWNED)
    words = ["prepare-data", "half", prepared, "custom", "-cn", "T1w.nii.gz", "--save-features",
             "--margin", 2, "-np", 2, "--plugin", path]  # fmt: skip
    pytest.importorskip("submitit", reason="submitit, of the extra slurm, is not installed")
    said = clinicadl(*words, "-ej", "jobs", "--submit", "local", "--n_shards", 2)
    assert said.returncode == 0, said.stderr
    spawned = [sys.executable, script, *words, "-ej", "spawned"]
    said = subprocess.run([str(word) for word in spawned], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    jsons = [prepared / f"tensor_extraction/{name}.json" for name in ("jobs", "spawned")]
    assert all(one.is_file() for one in jsons)
