"""What only a GPU shows: precision, layouts, and the same bits again."""

from __future__ import annotations

from importlib import import_module

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from clinicadl import PredictConfig, predict, resume, train
from clinicadl.config.autoencoders import AUTOENCODERS
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.reproducibility import ReproducibilityConfig
from clinicadl.engine.devices import deterministic, resolve
from clinicadl.engine.events import Evaluated
from clinicadl.layouts.maps import names
from clinicadl.networks.streams import seeded

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

autoencoders = import_module("tests.laws.test_autoencoders")
classifiers = import_module("tests.laws.test_networks")
CASES = dict.fromkeys([*classifiers.CASES, *autoencoders.CASES])


def learnt(name, grid):
    of = autoencoders if name in AUTOENCODERS else classifiers
    device = resolve(ComputeConfig(gpu=True))
    network = device.put_network(of.network_of(name, grid)).train()
    with seeded(0, "dropout"):
        outputs = network(device.put(classifiers.images_of(grid)))
        sum(one.square().sum() for one in classifiers.said(outputs)).backward()
    return {name: weight.grad for name, weight in network.named_parameters()}


@pytest.mark.parametrize(("name", "grid"), CASES, ids=str)
def test_deterministic_refuses_no_network_and_repeats_to_the_bit(name, grid):
    with deterministic(ReproducibilityConfig(deterministic=True)):
        first, second = learnt(name, grid), learnt(name, grid)
    for key, value in first.items():
        assert value is None or torch.equal(value, second[key]), key


def on_gpu(config_of, caps, **compute):
    return config_of(caps, compute={"gpu": True, "n_proc": 0, **compute})


@pytest.mark.parametrize("compute", [
    {}, {"amp": "bf16"}, {"amp": "fp16"}, {"amp": "bf16", "channels_last": True},
    {"activation_checkpointing": True}, {"compile": True},
], ids=str)  # fmt: skip
def test_a_training_learns_what_a_cpu_learns_and_can_be_predicted_with(
    prepared_once, config_of, tmp_path, compute
):
    maps, on_cpu = tmp_path / "gpu", tmp_path / "cpu"
    train(on_gpu(config_of, prepared_once, **compute), maps)
    train(config_of(prepared_once), on_cpu)
    logs = [pd.read_csv(names.training_log(one, 0), sep="\t") for one in (maps, on_cpu)]
    # Half precision has three digits; dropout is drawn by another generator on a GPU.
    assert logs[0]["loss_train"].iloc[-1] == pytest.approx(logs[1]["loss_train"].iloc[-1], rel=0.2)
    config = PredictConfig(
        caps_directory=prepared_once, gpu=False,
        participants_tsv=prepared_once / "split/test_baseline.tsv",
    )  # fmt: skip
    predict(config, maps, "test")


@pytest.mark.parametrize("amp", ["no", "fp16"])
def test_an_interrupted_training_goes_on_to_the_same_bits(prepared_once, config_of, tmp_path, amp):
    config = on_gpu(config_of, prepared_once, amp=amp).model_copy(
        update={"reproducibility": ReproducibilityConfig(deterministic=True)}
    )
    train(config, tmp_path / "whole")

    def interrupt(event):
        if isinstance(event, Evaluated) and event.row.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", observers=[interrupt])
    resume(tmp_path / "broken")
    whole, broken = (
        load_file(names.weights(tmp_path / maps, 0, "loss")) for maps in ("whole", "broken")
    )
    assert all(torch.equal(value, broken[key]) for key, value in whole.items())
