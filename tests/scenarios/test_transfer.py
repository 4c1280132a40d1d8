"""Weights of another MAPS: pairs of kinds, what is recorded, what the guard then knows."""

from __future__ import annotations

import json

import pytest
import torch

from clinicadl import PredictConfig, predict, train
from clinicadl.config.transfer import TransferConfig
from clinicadl.errors import LeakageError, MissingInputError, UsageError
from clinicadl.layouts.maps import names
from clinicadl.networks import weights

SLICES = {"mode": "slice", "slice_direction": 1, "slice_mode": "single", "discarded_slices": [9, 9]}
"""Two of the 20 slices are left."""


@pytest.fixture
def experiment(prepared, config_of):
    """Return a function that makes an experiment on slices, with or without a source."""
    home = prepared / "tensor_extraction"
    content = json.loads((home / "tiny.json").read_text()) | SLICES | {"extract_json": "s.json"}
    (home / "s.json").write_text(json.dumps(content))

    def of(source=None, *, multi=False, transfer=None, **sections):
        config = config_of(
            prepared,
            **{
                "data": {"preprocessing_json": "s"},
                "optimization": {"epochs": 1, "batch_size": 5},
                "task": {"selection_metrics": ["loss"]},
                **sections,
            },
        )
        given = {"transfer_path": source, **(transfer or {})} if source else {}
        return config.model_copy(
            update={"multi_network": multi, "transfer": TransferConfig(**given)}
        )

    return of


def state(maps, number=None):
    return weights.read(names.weights(maps, 0, "loss", number)).state


def frozen(rate=1e-30):
    """Return settings under which the weights stay as they were given."""
    return {"epochs": 1, "batch_size": 5, "optimizer": "SGD", "learning_rate": rate,
            "weight_decay": 0.0}  # fmt: skip


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one
               if "running" not in name and "num_batches" not in name)  # fmt: skip


@pytest.mark.parametrize("multi", [False, True])
def test_one_network_gives_its_weights_to_one_or_to_each(experiment, tmp_path, multi):
    train(experiment(), tmp_path / "source")
    config = experiment(tmp_path / "source", multi=multi, optimization=frozen())
    train(config, tmp_path / "target")
    for number in (0, 1) if multi else (None,):
        assert same(state(tmp_path / "target", number), state(tmp_path / "source"))
    record = json.loads((tmp_path / "target/maps.json").read_text())
    (parent,) = record["parents"]
    assert parent["path"] == str((tmp_path / "source").resolve())
    assert parent["selection_metric"] == "loss"
    assert parent["epochs"] == {"0": [0]}


def test_several_networks_give_theirs_one_to_one_and_never_to_one(experiment, tmp_path):
    train(experiment(multi=True), tmp_path / "source")
    train(experiment(tmp_path / "source", multi=True, optimization=frozen()), tmp_path / "target")
    for number in (0, 1):
        assert same(state(tmp_path / "target", number), state(tmp_path / "source", number))
    assert not same(state(tmp_path / "target", 0), state(tmp_path / "target", 1))
    with pytest.raises(UsageError, match="a network for each part, and one is to be trained"):
        train(experiment(tmp_path / "source"), tmp_path / "single")
    names.weights(tmp_path / "source", 0, "loss", 1).unlink()
    with pytest.raises(UsageError, match="another number of networks"):
        train(experiment(tmp_path / "source", multi=True), tmp_path / "fewer")
    assert not (tmp_path / "single").exists()
    assert not (tmp_path / "fewer").exists()


def test_what_is_not_transferred_is_listed(experiment, tmp_path, caplog):
    train(experiment(), tmp_path / "source")
    other = {"name": "Conv5_FC3", "dropout": 0.0}
    with pytest.raises(UsageError, match=r"fc\.2\.weight"):
        train(experiment(tmp_path / "source", network=other), tmp_path / "refused")
    train(
        experiment(
            tmp_path / "source", network=other, optimization=frozen(),
            transfer={"transfer_layers": "features"},
        ),
        tmp_path / "target",
    )  # fmt: skip
    assert "6 tensors are not transferred and begin at random: fc.2.weight" in caplog.text
    source, target = state(tmp_path / "source"), state(tmp_path / "target")
    features = {name: value for name, value in source.items() if name.startswith("convolutions")}
    assert same(features, target)


def test_the_last_layers_alone_learn(experiment, tmp_path):
    train(experiment(), tmp_path / "source")
    config = experiment(
        tmp_path / "source", optimization=frozen(rate=0.5), transfer={"nb_unfrozen_layer": 1}
    )
    train(config, tmp_path / "target")
    source, target = state(tmp_path / "source"), state(tmp_path / "target")
    changed = {name for name in source if not torch.equal(source[name], target[name])}
    assert changed == {"fc.6.weight", "fc.6.bias"}


def test_the_only_metric_of_the_source_is_taken(experiment, tmp_path):
    train(experiment(task={"selection_metrics": ["BA"]}), tmp_path / "source")
    train(experiment(tmp_path / "source", optimization=frozen()), tmp_path / "target")
    record = json.loads((tmp_path / "target/maps.json").read_text())
    assert record["parents"][0]["selection_metric"] == "BA"
    with pytest.raises(MissingInputError, match="no best model by loss.*BA"):
        train(
            experiment(tmp_path / "source", transfer={"transfer_selection_metric": "loss"}),
            tmp_path / "other",
        )


def test_whoever_an_ancestor_saw_is_refused_in_later_evaluations(
    experiment, prepared, config_of, tmp_path
):
    """The grandparent saw the test set of the grandchild: nobody else did."""
    whole, fewer = prepared / "split/2_fold", tmp_path / "fewer"
    train(experiment(), tmp_path / "first")
    train(experiment(tmp_path / "first"), tmp_path / "second")
    import shutil

    shutil.copytree(whole, fewer)
    left_out = None
    for table in sorted(fewer.rglob("*.tsv")):
        lines = table.read_text().splitlines()
        column = lines[0].split("\t").index("participant_id")
        if left_out is None:
            left_out = lines[1].split("\t")[column]
        kept = [line for line in lines if line.split("\t")[column] != left_out]
        table.write_text("\n".join(kept) + "\n")
    data = {"preprocessing_json": "s", "tsv_directory": fewer}
    train(experiment(tmp_path / "second", data=data), tmp_path / "third")
    own = (tmp_path / "third/groups/train+validation.tsv").read_text()
    assert left_out in own
    table = tmp_path / "group.tsv"
    table.write_text(f"participant_id\tsession_id\tdiagnosis\n{left_out}\tses-M000\tAD\n")
    with pytest.raises(LeakageError, match=f"{left_out}"):
        predict(
            PredictConfig(caps_directory=prepared, participants_tsv=table, n_proc=0, gpu=False),
            tmp_path / "third", "held",
        )  # fmt: skip
