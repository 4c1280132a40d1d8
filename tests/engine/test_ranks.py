"""Several processes on the CPU that train together: what one process of the whole batch learns."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from clinicadl import PredictConfig, predict, read_experiment, resume, train
from clinicadl.config import launch
from clinicadl.engine import ranks
from clinicadl.engine.ranks import Ranks
from clinicadl.errors import UsageError
from clinicadl.layouts.maps import names

NETWORK = {
    "name": "RandomArchitecture", "dropout": 0.0, "n_fcblocks": 1, "network_normalization": "None",
    "convolutions_dict": {"conv0": {"out_channels": 4}, "conv1": {"out_channels": 8}},
}  # fmt: skip


def together(world, *words):
    """Start the command line in several processes."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
              world, "-m", "clinicadl"]  # fmt: skip
    return [str(word) for word in (*launch, *words)]


def run(*arguments, **kwargs):
    return subprocess.run(
        together(*arguments), capture_output=True, text=True, timeout=300, check=False, **kwargs
    )


def file_of(config, path):
    path.write_text(json.dumps({"config": config.model_dump(mode="json")}))
    return path


def words_of(config, tmp_path, maps):
    data = config.data
    file = file_of(config, tmp_path / "experiment.json")
    return ["train", config.task.name, data.caps_directory, data.preprocessing_json,
            data.tsv_directory, maps, "-c", file]  # fmt: skip


def log_of(maps):
    return pd.read_csv(names.training_log(maps, 0), sep="\t").drop(columns="time")


def assert_alike(one, other):
    a, b = (load_file(names.weights(maps, 0, "loss")) for maps in (one, other))
    for key, value in a.items():
        # Each of some dozens of updates of Adam may round a weight by about 1e-7 in another way.
        assert torch.allclose(value, b[key], atol=2e-5), key
    pd.testing.assert_frame_equal(log_of(one), log_of(other), atol=1e-4)
    for group in names.OWN_GROUPS:
        tables = [
            pd.read_csv(names.predictions(names.results(maps, 0, "loss", group), "image"), sep="\t")
            for maps in (one, other)
        ]
        pd.testing.assert_frame_equal(*tables, atol=1e-4)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize(("world", "batch_size", "accumulation"), [(2, 4, 1), (3, 2, 2)])
def test_they_learn_what_one_process_learns(
    prepared_once, config_of, tmp_path, world, batch_size, accumulation, strategy
):
    # Of the last batch, which is smaller, some processes have less or nothing.
    settings = {"epochs": 3, "accumulation_steps": accumulation, "learning_rate": 1e-3}
    alone = config_of(
        prepared_once, network=NETWORK,
        optimization={**settings, "batch_size": batch_size * world},
    )  # fmt: skip
    train(alone, tmp_path / "alone")
    several = config_of(
        prepared_once, network=NETWORK, optimization={**settings, "batch_size": batch_size},
        compute={"strategy": strategy},
    )  # fmt: skip
    said = run(world, *words_of(several, tmp_path, tmp_path / "several"))
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("MAPS:") == 1
    assert_alike(tmp_path / "alone", tmp_path / "several")
    record = json.loads(names.record(tmp_path / "several").read_text())
    assert record["resolved"]["processes"] == world
    assert record["resolved"]["shards"] == (world if strategy == "fsdp" else 1)


@pytest.mark.parametrize(
    ("world", "batch_size", "settings"),
    [(2, 3, {}), (3, 2, {"compute": {"strategy": "fsdp", "activation_checkpointing": True}})],
)
def test_they_normalize_as_one_process_does(
    prepared_once, config_of, tmp_path, world, batch_size, settings
):
    # The last batch of each epoch holds one image: the others look on. Without dropout, which is
    # drawn for each process. Not by Adam, which makes whole steps of gradients that are nothing
    # but rounding: a bias in front of a normalization has such ones.
    plain = {"optimizer": "SGD", "learning_rate": 1e-2, "epochs": 3}
    for maps, size, more in (("alone", batch_size * world, {}), ("several", batch_size, settings)):
        config = config_of(
            prepared_once, network={"dropout": 0.0},
            optimization={**plain, "batch_size": size}, **more,
        )  # fmt: skip
        if maps == "alone":
            train(config, tmp_path / maps)
        else:
            said = run(world, *words_of(config, tmp_path, tmp_path / maps))
            assert said.returncode == 0, said.stderr
    assert_alike(tmp_path / "alone", tmp_path / "several")
    facts = load_file(names.weights(tmp_path / "several", 0, "loss"))
    assert any("running_var" in key for key in facts)


EMA = {"name": "ema", "ema_decay": 0.6}
RICH = {
    "averages, clipping, blocks computed again": {
        "optimization": {"averaging": EMA, "gradient_clipping": 0.1},
        "compute": {"activation_checkpointing": True},
    },
    "the mean of the last epochs": {
        "optimization": {"averaging": {"name": "swa", "swa_epoch": 1}},
    },
    "a transformer computed again": {
        "network": {"name": "ViT", "dropout": 0.0},
        "compute": {"activation_checkpointing": True},
    },
}


@pytest.mark.parametrize("option", RICH)
def test_divided_weights_learn_what_whole_ones_learn(prepared_once, config_of, tmp_path, option):
    # Batches of 3: of the last one, a process has nothing. Not by Adam: see above.
    for strategy in ("ddp", "fsdp"):
        rich = RICH[option]
        config = config_of(
            prepared_once,
            optimization={
                "epochs": 3, "batch_size": 3, "optimizer": "SGD", "learning_rate": 1e-2,
                **rich.get("optimization", {}),
            },
            network=rich.get("network", {}),
            compute={"strategy": strategy, **rich.get("compute", {})},
        )  # fmt: skip
        said = run(2, *words_of(config, tmp_path, tmp_path / strategy))
        assert said.returncode == 0, said.stderr
    assert_alike(tmp_path / "ddp", tmp_path / "fsdp")


def test_another_number_of_processes_goes_on_with_divided_weights(
    prepared_once, config_of, tmp_path
):
    from clinicadl.engine.events import Evaluated

    config = config_of(
        prepared_once, network=NETWORK, compute={"strategy": "fsdp"},
        optimization={"epochs": 4, "batch_size": 2, "averaging": EMA, "learning_rate": 1e-3},
    )  # fmt: skip
    maps, whole = tmp_path / "maps", tmp_path / "whole"
    train(config, whole)

    def interrupt(event):
        if isinstance(event, Evaluated) and event.row.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, maps, observers=[interrupt])
    # One process with batches of 2 began, two with batches of 2 each go on.
    said = run(2, "train", "resume", maps)
    assert said.returncode == 0, said.stderr
    log = log_of(maps)
    assert list(log["epoch"]) == [0, 1, 2, 3]
    pd.testing.assert_frame_equal(log[:1], log_of(whole)[:1])
    assert log["iteration"].iloc[-1] < log["iteration"].iloc[0]


def test_what_is_no_number_ends_all_that_share_the_weights(prepared_once, config_of, tmp_path):
    config = config_of(
        prepared_once, network=NETWORK, compute={"strategy": "fsdp"},
        optimization={"epochs": 3, "batch_size": 2, "optimizer": "SGD", "learning_rate": 1e38},
    )  # fmt: skip
    maps = tmp_path / "maps"
    said = run(2, *words_of(config, tmp_path, maps))
    assert said.returncode != 0
    assert "the training cannot go on" in said.stderr
    assert not names.diverged(maps, 0).exists()


def test_images_that_are_given_back_are_put_together_by_the_first(
    prepared_once, config_of, tmp_path
):
    def of(batch_size):
        data = config_of(prepared_once).data
        return read_experiment(
            {
                "data": data.model_dump(), "task": "reconstruction", "network": "UNet",
                "optimization": {"epochs": 2, "batch_size": batch_size, "learning_rate": 1e-3},
                "validation": {"n_splits": 2, "split": [0]},
                "compute": {"n_proc": 0, "gpu": False},
            }
        )  # fmt: skip

    train(of(4), tmp_path / "alone")
    said = run(2, *words_of(of(2), tmp_path, tmp_path / "several"))
    assert said.returncode == 0, said.stderr
    assert_alike(tmp_path / "alone", tmp_path / "several")


def test_a_prediction_is_made_by_one_process(prepared_once, config_of, tmp_path, monkeypatch):
    train(config_of(prepared_once, optimization={"epochs": 1}), tmp_path / "maps")
    monkeypatch.setattr("clinicadl.engine.devices.join", lambda on_gpu: Ranks(0, 2))
    config = PredictConfig(
        caps_directory=prepared_once, gpu=False,
        participants_tsv=prepared_once / "split/test_baseline.tsv",
    )  # fmt: skip
    with pytest.raises(UsageError, match="one process"):
        predict(config, tmp_path / "maps", "test")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_one_that_dies_ends_all_and_the_training_can_go_on(
    prepared_once, config_of, tmp_path, strategy
):
    config = config_of(
        prepared_once, network=NETWORK, compute={"strategy": strategy},
        optimization={"epochs": 40, "batch_size": 2},
    )  # fmt: skip
    maps = tmp_path / "maps"
    running = subprocess.Popen(
        together(2, *words_of(config, tmp_path, maps)), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    checkpoint = names.checkpoint(maps, 0)
    until = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert checkpoint.exists()
    of_parent = subprocess.run(
        ["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(of_parent[-1]), signal.SIGKILL)
    _, said = running.communicate(timeout=120)
    assert running.returncode != 0, said
    again = run(2, "train", "resume", maps)
    assert again.returncode == 0, again.stderr
    whole = tmp_path / "whole"
    straight = run(2, *words_of(config, tmp_path, whole))
    assert straight.returncode == 0, straight.stderr
    one, other = (load_file(names.weights(path, 0, "loss")) for path in (maps, whole))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert log_of(maps).equals(log_of(whole))


def test_one_process_goes_on_with_what_several_began(prepared_once, config_of, tmp_path):
    maps = tmp_path / "maps"
    config = config_of(prepared_once, network=NETWORK, optimization={"epochs": 1})
    said = run(2, *words_of(config, tmp_path, maps))
    assert said.returncode == 0, said.stderr
    resume(maps, splits=(1,))
    assert all(names.weights(maps, split, "loss").is_file() for split in (0, 1))


def test_what_is_judged_is_what_is_kept_also_of_an_average_and_of_normalizations(
    prepared_once, config_of, tmp_path
):
    # Each process counts what its samples make of the normalizations, and its average with them.
    maps = tmp_path / "maps"
    config = config_of(
        prepared_once,
        optimization={
            "epochs": 2, "batch_size": 3, "averaging": {"name": "ema", "ema_decay": 0.6}
        },
        network={"dropout": 0.0},
    )  # fmt: skip
    said = run(2, *words_of(config, tmp_path, maps))
    assert said.returncode == 0, said.stderr
    log = pd.read_csv(names.training_log(maps, 0), sep="\t")
    for group, column in (("train", "loss_train"), ("validation", "loss_valid")):
        table = names.metrics(names.results(maps, 0, "loss", group), "image")
        best = log.loc[log["loss_valid"].idxmin(), column]
        # In training each process judges its share: batches of other sizes round otherwise.
        assert float(pd.read_csv(table, sep="\t")["loss"][0]) == pytest.approx(best, rel=1e-6)


def test_processes_that_srun_starts_find_each_other(prepared_once, config_of, tmp_path):
    config = config_of(prepared_once, network=NETWORK, optimization={"epochs": 2, "batch_size": 2})
    words = [str(word) for word in words_of(config, tmp_path, tmp_path / "maps")]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # What srun says to each task of a step, and nobody else.
    step = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "localhost"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "clinicadl", *words], stderr=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, **step, "SLURM_PROCID": str(rank), "MASTER_PORT": str(port)},
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=200) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert "MAPS:" in said[0][0]
    assert said[1] == ("", "")
    record = json.loads(names.record(tmp_path / "maps").read_text())
    assert record["resolved"]["processes"] == 2


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "3"}, (1, 3)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"}, (2, 4)),
        # A job of several tasks whose script runs the program itself, and not by srun.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 1)),
    ],
)
def test_a_launcher_says_who_is_who(environment, place):
    assert launch.place(environment) == place


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("node01", "node01"), ("node[01-03,07]", "node01"), ("a,b", "a"), ("gpu-[7,9]", "gpu-7")],
)
def test_the_first_machine_of_slurm_is_where_they_meet(nodes, first):
    assert ranks._first_host({"SLURM_STEP_NODELIST": nodes}) == first


def test_without_a_place_to_meet_nobody_waits():
    with pytest.raises(UsageError, match="MASTER_ADDR"):
        ranks._first_host({})


def test_one_process_alone_shares_nothing_and_waits_for_nobody():
    alone = Ranks()
    weight = torch.nn.Parameter(torch.ones(2))
    alone.add_gradients([weight])
    assert weight.grad is None
    assert alone.share([1, 2, 3]) == [1, 2, 3]
    assert alone.gathered("x") == ["x"]
    alone.wait()
