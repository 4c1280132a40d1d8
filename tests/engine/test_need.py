"""The memory that a training needs, told before it begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from clinicadl import read_experiment, train
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.optimization import OptimizationConfig
from clinicadl.engine import need
from clinicadl.engine.devices import Device, resolve
from clinicadl.engine.optimizers import OPTIMIZERS, n_kept
from clinicadl.errors import UsageError

CPU = Device(torch.device("cpu"), channels_last=True)
DATA = {"caps_directory": ".", "preprocessing_json": "x", "tsv_directory": "."}


KEPT = {
    "Adadelta": 2, "Adagrad": 1, "Adam": 2, "AdamW": 2, "Adamax": 2, "ASGD": 1, "NAdam": 2,
    "RAdam": 2, "RMSprop": 1, "SGD": 0,
}  # fmt: skip


def config(**sections):
    return read_experiment({"data": DATA, **sections})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_optimizer_keeps_of_a_weight(name):
    weight = torch.zeros(1000, requires_grad=True)
    optimizer = OPTIMIZERS[name]([weight], lr=0.1)
    for _ in range(2):
        weight.grad = torch.ones(1000)
        optimizer.step()
    (kept,) = optimizer.state_dict()["state"].values() or [{}]
    numbers = sum(value.numel() for value in kept.values() if isinstance(value, torch.Tensor))
    assert KEPT[name] * 1000 <= numbers <= KEPT[name] * 1000 + 10
    assert n_kept(OptimizationConfig(optimizer=name)) == KEPT[name]


def test_all_optimizers_are_counted():
    assert KEPT.keys() == OPTIMIZERS.keys()


def test_weights_and_batches_are_counted_by_hand():
    with torch.device("meta"):
        network = nn.Sequential(nn.Flatten(), nn.Linear(24, 10))
    found = need.need(
        config(optimization={"batch_size": 5}, multi_network=True), network, (1, 2, 3, 4), 3, CPU
    )
    # 250 numbers: weights, gradients, two moments, the best ones by the loss; of three networks.
    assert found.weights == 3 * 5 * 250 * 4
    assert found.batches == 4 * 5 * 24 * 4
    # The input of the linear layer is what its backward pass needs.
    assert found.activations == 3 * 5 * 24 * 4
    averaged = config(optimization={"optimizer": "SGD", "averaging": {"name": "ema"}})
    assert need.need(averaged, network, (1, 2, 3, 4), 1, CPU).weights == 4 * 250 * 4
    assert found.total == found.weights + found.activations + found.batches + need.BASE


def test_activations_are_what_backward_needs_of_a_real_pass():
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Flatten(),
            nn.Linear(4 * 8**3, 2),
        )  # fmt: skip
    network.eval()
    found = need.need(config(optimization={"batch_size": 2}), network, (1, 8, 8, 8), 1, CPU)
    image, maps = 2 * 8**3 * 4, 2 * 4 * 8**3 * 4
    # Input of the convolution, of the normalization, output of the ReLU (which the linear layer
    # gets too), and the means and variances of the normalization, of the batch and running ones;
    # then two gradients of maps.
    assert found.activations == image + 2 * maps + 4 * 4 * 4 + 2 * maps
    assert not network.training


def test_blocks_that_are_computed_again_keep_their_inputs_and_one_of_them_all():
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 4, 3, padding=1), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
    given = config(optimization={"batch_size": 2}, compute={"activation_checkpointing": True})
    found = need.need(given, network, (1, 8, 8, 8), 1, CPU)
    image, maps = 2 * 8**3 * 4, 2 * 4 * 8**3 * 4
    # The inputs of both blocks, all of the second (its input and output), and two gradients.
    assert found.activations == image + maps + 2 * maps + 2 * maps


def test_weights_that_are_shared_are_held_whole_while_they_are_judged():
    with torch.device("meta"):
        network = nn.Linear(24, 10)
    found = need.need(config(), network, (24,), 1, replace(CPU, n_shards=5))
    assert found.weights == 4 * 250 * 4 // 5 + 4 * 250 + 4 * 250


@pytest.fixture
def needed():
    return need.Need(weights=10**9, activations=8 * 10**9, batches=8 * 10**8)


@pytest.mark.parametrize(
    ("free", "setting", "words"),
    [
        (None, "fast", None),
        (64 * 10**9, "fast", None),
        (12 * 10**9, "lean", None),
        (6 * 10**9, None, "batch_size of 4 or less"),
        (10**9, None, "smaller network"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(monkeypatch, needed, free, setting, words):
    monkeypatch.setattr(need, "available", lambda device: free)
    given = config(optimization={"batch_size": 8})
    if words is None:
        assert need.check(needed, given, resolve(ComputeConfig(gpu=False))) == setting
        return
    with pytest.raises(UsageError, match=words):
        need.check(needed, given, resolve(ComputeConfig(gpu=False)))


def test_a_chosen_lean_stays_lean(monkeypatch, needed):
    monkeypatch.setattr(need, "available", lambda device: 10**12)
    assert (
        need.check(needed, config(compute={"memory": "lean"}), resolve(ComputeConfig(gpu=False)))
        == "lean"
    )


def test_a_training_that_cannot_fit_writes_nothing(prepared_once, config_of, tmp_path, monkeypatch):
    monkeypatch.setattr(need, "available", lambda device: need.BASE)
    with pytest.raises(UsageError, match="does not fit"):
        train(config_of(prepared_once), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_the_free_memory_of_this_machine_is_told():
    device = resolve(ComputeConfig(gpu=False))
    free = need.available(device)
    assert free is None or 0 < free < 2**50


def test_what_a_container_holds_of_files_is_free(tmp_path):
    assert need._left_to(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 900\nactive_file 700\ninactive_file 2000\nx 1\n")
    assert need._left_to(tmp_path) is None
    (tmp_path / "memory.max").write_text("8000\n")
    assert need._left_to(tmp_path) == 8000 - 5000 + 2700
