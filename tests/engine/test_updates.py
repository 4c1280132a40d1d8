"""One update: its rate, its gradients, its average, and what is no number."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torch.optim import swa_utils

from clinicadl import read_experiment, resume, train
from clinicadl.config.compute import ComputeConfig
from clinicadl.config.optimization import OptimizationConfig
from clinicadl.config.schedule import Exponential, Stochastic
from clinicadl.config.task import Classification
from clinicadl.engine import averages, plan
from clinicadl.engine.devices import Device, resolve
from clinicadl.engine.events import BatchDone
from clinicadl.engine.rates import rate
from clinicadl.errors import InvalidDataError, UsageError
from clinicadl.layouts.maps import names


def rates(per_epoch=1, **settings):
    config = OptimizationConfig(**settings)
    return [rate(config, i, per_epoch=per_epoch) for i in range(config.epochs * per_epoch)]


def of_torch(schedule, n, **arguments):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    schedule, found = schedule(optimizer, **arguments), []
    for _ in range(n):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "reference", "arguments"),
    [
        ({"name": "step", "step_epochs": 3, "step_factor": 0.3},
         torch.optim.lr_scheduler.StepLR, {"step_size": 3, "gamma": 0.3}),
        ({"name": "cosine", "lowest_rate": 0.1},
         torch.optim.lr_scheduler.CosineAnnealingLR, {"T_max": 12, "eta_min": 0.05}),
        ({"name": "linear", "lowest_rate": 0.2}, torch.optim.lr_scheduler.LinearLR,
         {"start_factor": 1.0, "end_factor": 0.2, "total_iters": 12}),
    ],
)  # fmt: skip
def test_schedules_are_those_of_pytorch(schedule, reference, arguments):
    found = rates(learning_rate=0.5, epochs=12, schedule=schedule)
    assert found == pytest.approx(of_torch(reference, 12, **arguments), rel=1e-12)


@given(st.integers(1, 5), st.integers(1, 7), st.sampled_from(["step", "cosine", "linear"]))
def test_a_warm_up_grows_in_equal_steps_and_then_the_schedule_begins(warmup, per_epoch, name):
    found = rates(
        per_epoch, learning_rate=0.3, epochs=warmup + 6, warmup_epochs=warmup,
        schedule={"name": name},
    )  # fmt: skip
    n = warmup * per_epoch
    assert found[:n] == pytest.approx([0.3 * (i + 1) / n for i in range(n)])
    assert found[n] == pytest.approx(0.3)
    later = rates(per_epoch, learning_rate=0.3, epochs=6, schedule={"name": name})
    assert found[n:] == pytest.approx(later)


def test_a_constant_rate_is_left_to_the_optimizer():
    assert rates(epochs=3) == [None] * 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adaptive_learning_rate": True, "warmup_epochs": 1}, "choose one"),
        ({"adaptive_learning_rate": True, "schedule": {"name": "cosine"}}, "choose one"),
        ({"epochs": 3, "warmup_epochs": 3}, "less than epochs"),
        ({"epochs": 3, "averaging": {"name": "swa", "swa_epoch": 3}}, "less than epochs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        OptimizationConfig(**settings)


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def drift(network, seed):
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape, generator=draws))
    network.train()(torch.randn(8, 3, generator=draws))


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.allclose(x, y, atol=1e-6) for (a, x), (b, y) in pairs)


def test_the_exponential_average_is_that_of_pytorch():
    network, settings = small(), Exponential(ema_decay=0.05)
    average = averages.first(settings, network)
    reference = swa_utils.AveragedModel(
        network, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.05), use_buffers=False
    )
    reference.update_parameters(network)
    for i in range(5):
        drift(network, i)
        averages.after_update(settings, average, network, i)
        reference.update_parameters(network)
    for mine, theirs in zip(average.parameters(), reference.module.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
        assert not mine.requires_grad


def test_the_first_updates_move_the_average_more():
    network, settings = small(), Exponential(ema_decay=0.999)
    average = averages.first(settings, network)
    by_hand = average[0].weight.clone()
    for i in range(30):
        drift(network, i)
        averages.after_update(settings, average, network, i)
        decay = min(0.999, (1 + i) / (10 + i))
        by_hand = decay * by_hand + (1 - decay) * network[0].weight.detach()
    assert torch.allclose(average[0].weight, by_hand, atol=1e-5)


def test_the_stochastic_average_is_the_mean_of_the_epochs_and_normalizes_anew():
    network, settings = small(), Stochastic(swa_epoch=2)
    average = averages.first(settings, network)
    reference = swa_utils.AveragedModel(network)
    taken = []
    for epoch in range(6):
        drift(network, epoch)
        taken.append(averages.after_epoch(settings, average, network, epoch))
        if epoch >= 2:
            reference.update_parameters(network)
    assert taken == [False, False, True, True, True, True]
    images = [torch.randn(5, 3) for _ in range(3)]
    averages.normalize_anew(average, images)
    swa_utils.update_bn(images, reference)
    assert same(average, reference.module)
    assert averages.counts(average)
    assert not averages.counts(nn.Linear(2, 2))


def test_classes_weigh_and_labels_are_smoothed_as_in_pytorch():
    task = Classification(class_weights="balanced", label_smoothing=0.1).build(
        {"A": 0, "B": 1, "C": 2}
    )
    nodes = [0, 0, 0, 0, 1, 1, 2]
    fitted = task.fitted(nodes)
    assert fitted.class_weights == pytest.approx([7 / 12, 7 / 6, 7 / 3])
    assert np.mean([fitted.class_weights[node] for node in nodes]) == pytest.approx(1)
    outputs, targets = torch.randn(7, 3), torch.tensor(nodes)
    weights = torch.tensor(fitted.class_weights)
    plain = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=0.1)
    assert torch.allclose(
        fitted.training_losses(outputs, outputs, targets), plain * weights[targets]
    )
    # No set is judged by it.
    assert torch.equal(
        fitted.losses(outputs, outputs, targets)["loss"],
        F.cross_entropy(outputs, targets, reduction="none"),
    )
    with pytest.raises(InvalidDataError, match="C"):
        task.fitted([0, 1, 1])
    with pytest.raises(ValidationError, match="CrossEntropyLoss"):
        Classification(label_smoothing=0.1, loss="MultiMarginLoss")


def test_accumulated_gradients_are_those_of_the_big_batch(prepared_once, config_of, tmp_path):
    # 25 samples or so: the last group has fewer and smaller batches. No normalization of batches.
    common = {"optimizer": "SGD", "learning_rate": 0.05, "weight_decay": 0, "epochs": 2}
    network = {
        "name": "RandomArchitecture", "dropout": 0.0, "n_fcblocks": 1,
        "network_normalization": "None", "convolutions_dict": {"conv0": {"out_channels": 2}},
    }  # fmt: skip
    found = []
    for name, sizes in (
        ("big", {"batch_size": 6, "accumulation_steps": 1}),
        ("small", {"batch_size": 2, "accumulation_steps": 3}),
    ):
        config = config_of(prepared_once, optimization={**common, **sizes}, network=network)
        train(config, tmp_path / name)
        found.append(load_file(names.weights(tmp_path / name, 0, "loss")))
    for key, big in found[0].items():
        assert torch.allclose(big, found[1][key], atol=1e-6), key


OPTIONS = {
    "cosine": {"optimization": {"schedule": {"name": "cosine"}, "warmup_epochs": 1}},
    "clipped": {"optimization": {"gradient_clipping": 0.5}},
    "ema": {"optimization": {"averaging": {"name": "ema", "ema_decay": 0.9}}},
    "swa": {"optimization": {"averaging": {"name": "swa", "swa_epoch": 1}}},
    "weighed": {"task": {"class_weights": "balanced", "label_smoothing": 0.1}},
    "fp16": {"compute": {"amp": "fp16"}},
}


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_changes_what_is_learnt_and_survives_a_kill(
    prepared_once, config_of, tmp_path, monkeypatch, option
):
    config = config_of(prepared_once, **OPTIONS[option])
    if option == "fp16":
        # What is refused outside of a GPU shows on a CPU that the state of the scaler is kept.
        def on_cpu(settings):
            return Device(torch.device("cpu"), channels_last=True, amp=settings.amp)

        monkeypatch.setattr(plan, "resolve", on_cpu)
    train(config_of(prepared_once), tmp_path / "without")
    train(config, tmp_path / "whole")

    def kill(event):
        if isinstance(event, BatchDone) and (event.epoch, event.batch) == (2, 1):
            raise KilledError

    with pytest.raises(KilledError):
        train(config, tmp_path / "killed", observers=[kill])
    resume(tmp_path / "killed")
    logs = {}
    for name in ("without", "whole", "killed"):
        log = pd.read_csv(tmp_path / name / "split-0/training_logs/training.tsv", sep="\t")
        logs[name] = log.drop(columns="time")
    pd.testing.assert_frame_equal(logs["whole"], logs["killed"], check_exact=True)
    assert not logs["whole"].equals(logs["without"])
    one, other = (
        load_file(names.weights(tmp_path / name, 0, "loss")) for name in ("whole", "killed")
    )
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    # What was judged is what was kept: its predictions give the loss of the log.
    metrics = pd.read_csv(
        names.metrics(names.results(tmp_path / "whole", 0, "loss", "validation"), "image"), sep="\t"
    )
    assert float(metrics["loss"][0]) == logs["whole"]["loss_valid"].min()


def test_the_gradient_is_clipped_to_its_norm(prepared_once, config_of, tmp_path, monkeypatch):
    norms = []
    step = torch.optim.SGD.step

    def seen(optimizer, *arguments, **named):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if len(weights) > 1:  # not the step of two numbers that the memory is told from
            norms.append(math.sqrt(sum(float(weight.grad.square().sum()) for weight in weights)))
        return step(optimizer, *arguments, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", seen)
    config = config_of(
        prepared_once, optimization={"optimizer": "SGD", "gradient_clipping": 0.1, "epochs": 1}
    )
    train(config, tmp_path / "maps")
    assert norms
    assert max(norms) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_names_the_samples_and_keeps_the_network(
    prepared_once, config_of, tmp_path, monkeypatch, what
):
    from clinicadl.tasks.classification import ClassificationTask

    plain, calls = ClassificationTask.training_losses, []

    def breaks(task, outputs, images, targets):
        losses = plain(task, outputs, images, targets)
        calls.append(len(losses))
        if len(calls) < 4:
            return losses
        # The root of 0 is 0, and its slope is infinite.
        return losses * float("nan") if what == "loss" else losses + (outputs[:, 0] * 0).sqrt()

    monkeypatch.setattr(ClassificationTask, "training_losses", breaks)
    config, maps = config_of(prepared_once), tmp_path / "maps"
    with pytest.raises(InvalidDataError, match=what) as stopped:
        train(config, maps)
    said = str(stopped.value)
    assert said.count("sub-") == calls[-1]
    assert "| ses-M000 | 0" in said
    kept = names.diverged(maps, 0)
    assert kept.relative_to(maps).as_posix() in said
    assert all(torch.isfinite(value).all() for value in load_file(kept).values())
    # It can go on once the reason is gone.
    monkeypatch.setattr(ClassificationTask, "training_losses", plain)
    resume(maps)
    assert not kept.exists()


def test_blocks_computed_again_are_the_same_bits(prepared_once, config_of, tmp_path):
    weights = []
    for again in (False, True):
        config = config_of(prepared_once, compute={"activation_checkpointing": again})
        maps = tmp_path / str(again)
        train(config, maps)
        weights.append(load_file(names.weights(maps, 0, "loss")))
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_a_network_of_single_layers_has_nothing_to_compute_again(
    prepared_once, config_of, tmp_path
):
    data = config_of(prepared_once).data
    config = read_experiment({
        "data": data.model_dump(), "task": "reconstruction", "network": "CVAE_3D",
        "compute": {"activation_checkpointing": True, "gpu": False},
        "validation": {"n_splits": 2},
    })  # fmt: skip
    with pytest.raises(UsageError, match="no blocks"):
        train(config, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_half_precision_without_a_gpu_is_refused(amp):
    with pytest.raises(UsageError, match="needs a GPU"):
        resolve(ComputeConfig(gpu=False, amp=amp))
