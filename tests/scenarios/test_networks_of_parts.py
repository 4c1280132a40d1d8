"""A network for each part: one pass over the images, and each as if it were alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from clinicadl import PredictConfig, predict, resume, train
from clinicadl.engine.events import BatchDone, Evaluated
from clinicadl.errors import UsageError
from clinicadl.layouts import images
from clinicadl.layouts.maps import names
from clinicadl.networks import weights

GRID = (18, 20, 17)
AFFINE = np.array([[8.0, 0, 0, -68], [0, 8, 0, -90], [0, 0, 8, -60], [0, 0, 0, 1]])
CORNERS = {"low": (2, 2, 2), "mid": (5, 6, 4), "high": (8, 10, 7)}
NOISY = [{"name": "Noise"}]


@pytest.fixture
def regions(prepared, config_of):
    """Return a function that makes an experiment on some regions of the prepared CAPS."""
    for name, (x, y, z) in CORNERS.items():
        inside = np.zeros(GRID, dtype=np.float32)
        inside[x : x + 9, y : y + 9, z : z + 9] = 1
        images.write(prepared / f"masks/tpl-T/tpl-T_roi-{name}_mask.nii.gz", inside, affine=AFFINE)

    def of(*chosen, **sections):
        home = prepared / "tensor_extraction"
        content = json.loads((home / "tiny.json").read_text())
        name = "-".join(chosen)
        content |= {"mode": "roi", "extract_json": f"{name}.json", "roi_list": list(chosen),
                    "uncropped_roi": False, "roi_custom_template": "T"}  # fmt: skip
        (home / f"{name}.json").write_text(json.dumps(content))
        settings = {
            "data": {"preprocessing_json": name},
            "optimization": {"epochs": 3, "batch_size": 5},
            **sections,
        }
        config = config_of(prepared, **settings)
        return config.model_copy(update={"multi_network": True})

    return of


def state(maps, number, metric="loss"):
    return weights.read(names.weights(maps, 0, metric, number)).state


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def read(maps, group, level, kind="prediction"):
    path = maps / f"split-0/best-loss/{group}/{group}_{level}_level_{kind}.tsv"
    return pd.read_csv(path, sep="\t")


@pytest.mark.parametrize("sampler", ["random", "weighted"])
def test_a_network_is_the_same_whichever_others_are_trained_beside_it(regions, tmp_path, sampler):
    """Weights, dropout, order, augmentation and selection: to the bit."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    extra = {"transforms": {"augmentation": NOISY}}
    train(regions("low", "mid", "high", **extra), together)
    train(regions("mid", **extra), alone)
    assert same(state(together, 1), state(alone, 0))
    assert same(state(together, 1, "BA"), state(alone, 0, "BA"))
    assert not same(state(together, 0), state(together, 1))
    logs = [pd.read_csv(names.training_log(maps, 0, number), sep="\t").drop(columns="time")
            for maps, number in ((together, 1), (alone, 0))]  # fmt: skip
    pd.testing.assert_frame_equal(*logs)
    for group in ("train", "validation"):
        many, one = read(together, group, "roi"), read(alone, group, "roi")
        many = many[many["roi_id"] == 1].assign(roi_id=0).reset_index(drop=True)
        pd.testing.assert_frame_equal(many, one)


def test_each_image_is_read_once_an_epoch_for_all_networks(regions, tmp_path, monkeypatch):
    from clinicadl.data.dataset import PartDataset

    asked = []
    real = PartDataset.sample

    def heard(self, key, *, out=None):
        asked.append(key)
        return real(self, key, out=out)

    monkeypatch.setattr(PartDataset, "sample", heard)
    config = regions("low", "mid", "high", optimization={"epochs": 2, "batch_size": 5})
    train(config, tmp_path / "maps")
    rows = [key for key in asked if isinstance(key, tuple)]
    for epoch in (0, 1):
        seen = [row for row, of in rows if of == epoch]
        assert len(seen) == len(set(seen))
        # All parts of an image one after another.
        assert [row // 3 for row in seen[::3]] == [row // 3 for row in seen[2::3]]


def test_what_the_networks_say_is_voted_and_predicted(regions, prepared, tmp_path):
    maps = tmp_path / "maps"
    train(regions("low", "mid"), maps)
    found = [path.name for path in sorted((maps / "split-0/best-loss").glob("*.safetensors"))]
    assert found == ["network-0_model.safetensors", "network-1_model.safetensors"]
    config = PredictConfig(
        caps_directory=prepared, participants_tsv=prepared / "split/test_baseline.tsv",
        n_proc=0, gpu=False,
    )  # fmt: skip
    predict(config, maps, "test")
    parts, whole = read(maps, "test", "roi"), read(maps, "test", "image")
    assert list(parts["roi_id"]) == [0, 1] * len(whole)
    assert list(parts["participant_id"][::2]) == list(whole["participant_id"])
    single = tmp_path / "single"
    train(regions("mid"), single)
    predict(config, single, "test")
    expected = read(single, "test", "roi")["proba0"].to_numpy()
    np.testing.assert_array_equal(parts.loc[parts["roi_id"] == 1, "proba0"], expected)
    names.weights(maps, 0, "loss", 1).unlink()
    with pytest.raises(Exception, match="network-1_model.safetensors"):
        predict(config, maps, "again")


def kill_at(epoch, batch):
    def watch(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (epoch, batch):
            raise KeyboardInterrupt

    return watch


def test_an_interrupted_training_of_several_networks_goes_on_to_the_same_bits(regions, tmp_path):
    config = regions("low", "mid", "high")
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(config, straight)
    with pytest.raises(KeyboardInterrupt):
        train(config, broken, observers=[kill_at(1, 1)])
    resume(broken)
    for number in range(3):
        assert same(state(straight, number), state(broken, number))
    pd.testing.assert_frame_equal(read(straight, "validation", "image"),
                                  read(broken, "validation", "image"))  # fmt: skip


def test_a_network_that_is_behind_catches_up_alone(regions, tmp_path, monkeypatch):
    """The run is killed between two checkpoints of one epoch."""
    from clinicadl.engine import loop

    config = regions("low", "mid")
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(config, straight)
    real = loop._save

    def save(training, network, learner, now, best):
        real(training, network, learner, now, best)
        if (network, now.epoch) == (0, 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr(loop, "_save", save)
    with pytest.raises(KeyboardInterrupt):
        train(config, broken)
    monkeypatch.setattr(loop, "_save", real)
    events = []
    resume(broken, observers=[events.append])
    went_on = [(e.network, e.row.epoch) for e in events if isinstance(e, Evaluated)]
    assert went_on == [(1, 1), (0, 2), (1, 2)]
    for number in range(2):
        assert same(state(straight, number), state(broken, number))


def test_networks_stop_early_each_for_itself(regions, tmp_path):
    config = regions(
        "low", "high",
        optimization={"epochs": 12, "batch_size": 5, "patience": 2, "learning_rate": 0.01},
    )  # fmt: skip
    events = []
    train(config, tmp_path / "maps", observers=[events.append])
    lengths = [len(pd.read_csv(names.training_log(tmp_path / "maps", 0, number), sep="\t"))
               for number in range(2)]  # fmt: skip
    alone = []
    for number, name in enumerate(("low", "high")):
        train(config.model_copy(update={"data": regions(name).data}), tmp_path / name)
        alone.append(len(pd.read_csv(names.training_log(tmp_path / name, 0, 0), sep="\t")))
        assert same(state(tmp_path / "maps", number), state(tmp_path / name, 0))
    assert lengths == alone
    assert min(lengths) < 12


def test_images_have_one_network(prepared, config_of, tmp_path):
    config = config_of(prepared).model_copy(update={"multi_network": True})
    with pytest.raises(UsageError, match="An image is its own only part"):
        train(config, tmp_path / "maps")
    assert not Path(tmp_path / "maps").exists()
