"""Settings of release 1.6.1: each has one place in ours, and nothing of them is lost in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from clinicadl.config import published
from clinicadl.config.base import places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.network import NETWORKS
from clinicadl.config.read import experiment, recorded
from clinicadl.errors import InvalidDataError, MissingInputError, UsageError

DATA = {"caps_directory": "caps", "preprocessing_json": "x", "tsv_directory": "tables"}

DEFAULTS = {
    "Model": {"architecture": "default", "multi_network": False, "ssda_network": False},
    "Architecture": {
        "dropout": 0.0, "latent_space_size": 128, "feature_size": 1024, "n_conv": 4,
        "io_layer_channels": 8, "recons_weight": 1, "kl_weight": 1, "normalization": "batch",
    },
    "Classification": {
        "selection_metrics": ["loss"], "label": "diagnosis", "label_code": {},
        "selection_threshold": 0.0, "loss": "CrossEntropyLoss",
    },
    "Regression": {"selection_metrics": ["loss"], "label": "age", "loss": "MSELoss"},
    "Reconstruction": {"selection_metrics": ["loss"], "loss": "MSELoss"},
    "Computational": {
        "gpu": True, "n_proc": 2, "batch_size": 8, "evaluation_steps": 0,
        "fully_sharded_data_parallel": False, "amp": False,
    },
    "Reproducibility": {
        "seed": 0, "deterministic": False, "compensation": "memory", "track_exp": "",
    },
    "Transfer_learning": {
        "transfer_path": "", "transfer_selection_metric": "loss", "nb_unfrozen_layer": 0
    },
    "Mode": {"use_extracted_features": False},
    "Data": {
        "multi_cohort": False, "diagnoses": ["AD", "CN"], "baseline": False,
        "valid_longitudinal": False, "normalize": True, "data_augmentation": False,
        "sampler": "random", "size_reduction": False, "size_reduction_factor": 2,
        "caps_target": "", "tsv_target_lab": "", "tsv_target_unlab": "",
        "preprocessing_dict_target": "",
    },
    "Cross_validation": {"n_splits": 0, "split": []},
    "Optimization": {
        "optimizer": "Adam", "epochs": 20, "learning_rate": 1e-4, "adaptive_learning_rate": False,
        "weight_decay": 1e-4, "patience": 0, "tolerance": 0.0, "accumulation_steps": 1,
        "profiler": False, "save_all_models": False,
    },
    "Informations": {"emissions_calculator": False},
}  # fmt: skip
"""Every section and key of release 1.6.1 with its default, as its documentation lists them."""

OTHERS = {
    ("Model", "architecture"): ("Conv4_FC3", "network.name", "Conv4_FC3"),
    ("Model", "multi_network"): (True, "multi_network", True),
    ("Architecture", "dropout"): (0.3, "network.dropout", 0.3),
    ("Classification", "selection_metrics"): (["BA"], "task.selection_metrics", ("BA",)),
    ("Classification", "label"): ("sex", "task.label", "sex"),
    ("Classification", "label_code"): ({"F": 1, "M": 0}, "task.label_code", {"F": 1, "M": 0}),
    ("Classification", "selection_threshold"): (0.6, "task.selection_threshold", 0.6),
    ("Classification", "loss"): ("MultiMarginLoss", "task.loss", "MultiMarginLoss"),
    ("Computational", "gpu"): (False, "compute.gpu", False),
    ("Computational", "n_proc"): (5, "compute.n_proc", 5),
    ("Computational", "batch_size"): (3, "optimization.batch_size", 3),
    ("Computational", "evaluation_steps"): (7, "optimization.evaluation_steps", 7),
    ("Reproducibility", "seed"): (42, "reproducibility.seed", 42),
    ("Reproducibility", "track_exp"): ("wandb", "tracking.track_exp.name", "wandb"),
    ("Informations", "emissions_calculator"): (True, "tracking.track_emissions", True),
    ("Transfer_learning", "transfer_path"): ("m", "transfer.transfer_path", Path("m")),
    ("Data", "multi_cohort"): (True, "data.multi_cohort", True),
    ("Data", "diagnoses"): (["AD"], "data.diagnoses", ("AD",)),
    ("Data", "baseline"): (True, "data.baseline", True),
    ("Data", "valid_longitudinal"): (True, "data.valid_longitudinal", True),
    ("Data", "normalize"): (False, "transforms.normalize", False),
    ("Data", "sampler"): ("weighted", "data.sampler", "weighted"),
    ("Computational", "amp"): (True, "compute.amp", "fp16"),
    ("Computational", "fully_sharded_data_parallel"): (True, "compute.strategy", "fsdp"),
    ("Reproducibility", "deterministic"): (True, "reproducibility.deterministic", True),
    ("Reproducibility", "compensation"): ("time", "reproducibility.compensation", "time"),
    ("Data", "size_reduction"): (True, "transforms.size_reduction", True),
    ("Cross_validation", "n_splits"): (4, "validation.n_splits", 4),
    ("Optimization", "profiler"): (True, "compute.profiler", True),
    ("Optimization", "optimizer"): ("SGD", "optimization.optimizer", "SGD"),
    ("Optimization", "epochs"): (3, "optimization.epochs", 3),
    ("Optimization", "learning_rate"): (0.01, "optimization.learning_rate", 0.01),
    ("Optimization", "adaptive_learning_rate"): (
        True, "optimization.adaptive_learning_rate", True
    ),
    ("Optimization", "weight_decay"): (0.0, "optimization.weight_decay", 0.0),
    ("Optimization", "patience"): (9, "optimization.patience", 9),
    ("Optimization", "tolerance"): (0.05, "optimization.tolerance", 0.05),
    ("Optimization", "accumulation_steps"): (2, "optimization.accumulation_steps", 2),
    ("Optimization", "save_all_models"): (True, "optimization.save_all_models", True),
}  # fmt: skip
"""Section, key -> another value, where we have it, and as what."""


def written(folder, content, name="old.toml"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else tomli_w.dumps(content))
    return path


def read(folder, content, **given):
    return experiment({"data": DATA, **given}, file=written(folder, content))


def got(config, place):
    for step in place.split("."):
        config = getattr(config, step)
    return config


def refused(folder, content, *words, **given):
    with pytest.raises(InvalidDataError) as caught:
        read(folder, content, **given)
    assert all(word in str(caught.value) for word in ("old.toml", *words)), str(caught.value)


def test_a_file_of_defaults_is_an_experiment_of_defaults(tmp_path, caplog):
    found = read(tmp_path, DEFAULTS)
    given_anyway = {"n_proc": 2}, {"diagnoses": ("AD", "CN"), **DATA}
    assert found == experiment({"compute": given_anyway[0], "data": given_anyway[1]})
    assert caplog.text == ""


def test_every_key_of_the_release_is_known_and_no_other():
    for section, keys in DEFAULTS.items():
        own = [*published.SETTINGS[section], *published.NOT_YET.get(section, ()),
               *published.UNREAD.get(section, ())]  # fmt: skip
        assert sorted(own) == sorted(keys)
    assert published.SETTINGS.keys() == DEFAULTS.keys()


@pytest.mark.parametrize(("section", "key"), OTHERS)
def test_each_key_arrives_at_its_place(tmp_path, section, key):
    value, place, expected = OTHERS[section, key]
    found = read(tmp_path, {section: {key: value}})
    assert got(found, place) == expected
    assert got(found, place) != got(read(tmp_path, DEFAULTS), place)


def test_every_place_of_the_map_is_one_of_ours_and_is_tested():
    ours = {".".join(place.path) for place in places(ExperimentConfig)}
    for section, keys in published.SETTINGS.items():
        for key, place in keys.items():
            assert place == "*" or place in ours
            idle = {"data_augmentation", "size_reduction_factor", "split", "nb_unfrozen_layer",
                    "transfer_selection_metric", *published.PARAMETERS}  # fmt: skip
            if section not in ("Regression", "Reconstruction") and key not in idle:
                assert (section, key) in OTHERS


def test_what_depends_on_another_key_arrives_with_it(tmp_path):
    found = read(
        tmp_path,
        {
            "Data": {"size_reduction": True, "size_reduction_factor": 3,
                     "data_augmentation": ["None", "Noise", "CropPad"]},
            "Cross_validation": {"n_splits": 5, "split": [1, 3]},
            "Transfer_learning": {"transfer_path": "m", "transfer_selection_metric": "BA",
                                  "nb_unfrozen_layer": 2},
        },
    )  # fmt: skip
    assert found.transforms.size_reduction_factor == 3
    assert [one.name for one in found.transforms.augmentation] == ["Noise", "CropPad"]
    assert found.validation.split == (1, 3)
    assert (found.transfer.transfer_selection_metric, found.transfer.nb_unfrozen_layer) == ("BA", 2)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"Data": {"size_reduction_factor": 3}}, "Data.size_reduction_factor"),
        ({"Cross_validation": {"split": [2]}}, "Cross_validation.split"),
        ({"Cross_validation": {"split": [2], "n_splits": 1}}, "Cross_validation.split"),
        ({"Architecture": {"latent_space_size": 64}}, "Architecture.latent_space_size"),
        ({"Transfer_learning": {"nb_unfrozen_layer": 1}}, "Transfer_learning.nb_unfrozen_layer"),
    ],
)
def test_what_the_release_passed_over_is_passed_over_and_said(tmp_path, caplog, content, key):
    assert read(tmp_path, content) == experiment({"data": DATA})
    assert f"{key} has no effect here" in caplog.text


@given(st.integers(0, 60), st.integers(1, 12))
def test_batches_between_evaluations_become_updates(tmp_path_factory, steps, per_update):
    """The release evaluates behind batch b if b is a multiple of both; ours behind update u."""
    content = {"Computational": {"evaluation_steps": steps},
               "Optimization": {"accumulation_steps": per_update}}  # fmt: skip
    found = read(tmp_path_factory.mktemp("steps"), content).optimization.evaluation_steps
    batches = range(1, 800)
    theirs = [b for b in batches if steps and b % steps == 0 and b % per_update == 0]
    ours = [b for b in batches if found and b % per_update == 0 and b // per_update % found == 0]
    assert ours == theirs


NOT_YET = [
    (section, key) for section, keys in published.NOT_YET.items() for key in keys
]  # fmt: skip


@pytest.mark.parametrize(("section", "key"), NOT_YET)
def test_what_we_cannot_do_is_an_error_but_at_its_default(tmp_path, section, key):
    default = published.NOT_YET[section][key]
    assert DEFAULTS[section][key] == default
    other = True if default is False else "something"
    refused(tmp_path, {section: {key: other}}, f"{section}.{key} = {other!r}", "not supported yet")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"Modle": {}}, ("section Modle", "Model")),
        ({"Optimization": {"epoch": 3}}, ("key epoch", "epochs", "Optimization")),
        ({"Optimization": {"batch_size": 3}}, ("batch_size", "belongs to Computational")),
        ({"Informations": {"emission": True}}, ("emissions_calculator",)),
        ({"Model": {"architecture": "Conv6_FC3"}}, ("Conv6_FC3", "Conv5_FC3")),
        ({"Model": {}, "optimization": {"epochs": 3}}, ("section optimization", "Optimization")),
        ({"Optimization": {"epochs": 0}}, ("Optimization.epochs", "greater than or equal to 1")),
        ({"Architecture": {"dropout": 2.0}}, ("Architecture.dropout", "less than 1")),
        ({"Classification": {"selection_metrics": ["BAC"]}},
         ("Classification.selection_metrics", "BAC", "nearest are BA")),
        ({"Data": {"data_augmentation": ["Noise", "Nois"]}}, ("Data.data_augmentation", "Nois")),
        ({"Computational": {"n_proc": 2, "num_workers": 3}},
         ("Computational.n_proc", "Computational.num_workers", "contradict")),
        ({"Computational": 3}, ("Computational",)),
        ({"Computational": {"evaluation_steps": "many"}, "Optimization": {"accumulation_steps": 2}},
         ("Computational.evaluation_steps",)),
    ],
)  # fmt: skip
def test_a_mistake_is_named_as_the_file_names_it(tmp_path, content, words):
    refused(tmp_path, content, *words)


def test_other_tasks_and_searches_are_passed_over(tmp_path):
    content = {
        "Regression": {"label": "weight", "anything": 1},
        "Reconstruction": {"loss": "L1Loss"},
        "Random_Search": {"architecture": "RandomArchitecture", "epochs": [1, 2]},
        "Classification": {"label": "sex"},
    }
    task = {"task": {"name": "classification"}}
    assert read(tmp_path, content, **task).task.label == "sex"
    del content["Classification"], content["Reconstruction"], content["Regression"]
    assert read(tmp_path, content) == experiment({"data": DATA})


def test_old_keys_mean_what_they_meant(tmp_path):
    found = read(
        tmp_path,
        {
            "Model": {"model": "Conv4_FC3", "multi": True},
            "Computational": {"num_workers": 3, "use_cpu": True},
            "Reproducibility": {"nondeterministic": True},
            "Data": {"minmaxnormalization": False},
        },
    )
    assert (found.network.name, found.multi_network) == ("Conv4_FC3", True)
    assert (found.compute.n_proc, found.compute.gpu) == (3, False)
    assert not found.transforms.normalize
    assert not found.reproducibility.deterministic
    other = read(tmp_path, {"Reproducibility": {"nondeterministic": False}})
    assert other.reproducibility.deterministic
    refused(tmp_path, {"Optimization": {"model": "Conv4_FC3"}}, "belongs to Model")


def test_flags_win_over_such_a_file(tmp_path):
    content = {"Optimization": {"epochs": 3}, "Computational": {"gpu": True, "batch_size": 2}}
    found = read(tmp_path, content, optimization={"epochs": 9}, compute={"gpu": False})
    assert (found.optimization.epochs, found.optimization.batch_size) == (9, 2)
    assert found.compute.gpu is False
    with pytest.raises(UsageError, match="--epochs"):
        read(tmp_path, content, optimization={"epochs": 0})


def test_a_gpu_is_taken_where_there_is_one(tmp_path):
    assert read(tmp_path, {"Computational": {"gpu": True}}).compute.gpu is None


def record_of(tmp_path, **changes):
    others = ("Regression", "Reconstruction")
    flat = {
        key: value
        for section, keys in DEFAULTS.items() if section not in others
        for key, value in keys.items()
    }  # fmt: skip
    derived = {
        "network_task": "classification", "caps_directory": "c", "tsv_path": "t", "mode": "image",
        "preprocessing_dict": {"preprocessing": "t1-linear", "mode": "image",
                               "extract_json": "e.json"},
        "validation": "SingleSplit", "num_networks": 1, "output_size": 2,
        "input_size": [1, 169, 208, 179], "transfer_path": False,
    }  # fmt: skip
    path = tmp_path / "maps.json"
    path.write_text(json.dumps({**flat, **derived, **changes}))
    return path


def test_a_record_of_the_release_is_a_whole_experiment(tmp_path):
    found = experiment({}, file=record_of(tmp_path, epochs=4, label_code={"AD": 0, "CN": 1}))
    assert found.data.caps_directory == Path("c")
    assert found.data.tsv_directory == Path("t")
    assert found.data.preprocessing_json == "e.json"
    assert found.optimization.epochs == 4
    assert found.task.label_code == {"AD": 0, "CN": 1}
    other = experiment({"data": DATA}, file=record_of(tmp_path))
    assert other.data.caps_directory == Path("caps")


@pytest.mark.parametrize("value", ["", False, None])
def test_an_empty_path_is_none(tmp_path, value):
    file = record_of(tmp_path, caps_directory=value, transfer_path=value)
    with pytest.raises(UsageError, match="missing"):
        experiment({}, file=file)
    assert experiment({"data": DATA}, file=file).transfer.transfer_path is None


OF_RELEASE = [name for name, row in NETWORKS.items() if row.reference.startswith("release 1.6")]


@pytest.mark.parametrize("name", OF_RELEASE)
def test_a_record_of_defaults_gives_each_network_as_the_release_had_it(tmp_path, caplog, name):
    """Parameters of other networks stand in each record, and mean nothing for this one."""
    row = NETWORKS[name]
    task = row.tasks[0]
    of_task = {key: value for key, value in DEFAULTS[task.capitalize()].items() if key != "loss"}
    changes = {key: None for key in DEFAULTS["Classification"] if key not in of_task} | of_task
    file = record_of(
        tmp_path, architecture=name, network_task=task, **{**changes, "loss": None}, **row.needed
    )
    found = experiment({"task": {"name": task}}, file=file)
    assert found.network == row(**row.needed)
    assert caplog.text == ""
    fixed = {"CVAE_3D": ("VAEGaussianLoss", 5.0)}
    if task == "reconstruction":
        assert (found.task.loss, found.task.kl_weight) == fixed.get(
            name, (None, 1.0 if "VAE" in name else None)
        )


@pytest.mark.parametrize(("name", "dropout"), [("ResNet3D", 0.8), ("SqueezeExcitationCNN", 0.5)])
def test_what_a_network_of_the_release_did_not_read_stays_as_it_was(
    tmp_path, caplog, name, dropout
):
    found = experiment({}, file=record_of(tmp_path, architecture=name, dropout=0.3))
    assert found.network.dropout == dropout
    assert "dropout has no effect here" in caplog.text


def test_parameters_arrive_at_the_network_and_the_weights_of_terms_at_the_task(tmp_path):
    content = {
        "Model": {"architecture": "Vanilla3DdenseVAE"},
        "Architecture": {"latent_space_size": 16, "feature_size": 64, "n_conv": 3,
                         "io_layer_channels": 4, "recons_weight": 2, "kl_weight": 0.5},
        "Reconstruction": {"loss": "VAEBernoulliLoss", "selection_metrics": ["SSIM"]},
    }  # fmt: skip
    found = read(tmp_path, content, task={"name": "reconstruction"})
    network = found.network
    assert (network.latent_space_size, network.feature_size) == (16, 64)
    assert (network.n_conv, network.io_layer_channels) == (3, 4)
    assert (found.task.recons_weight, found.task.kl_weight) == (2, 0.5)
    assert (found.task.loss, found.task.selection_metrics) == ("VAEBernoulliLoss", ("SSIM",))
    assert read(tmp_path, content) == found  # the only section of a task says which


def test_a_regression_has_its_own_section(tmp_path):
    content = {"Regression": {"label": "weight", "loss": "L1Loss", "selection_metrics": ["MAE"]}}
    task = read(tmp_path, content, task={"name": "regression"}).task
    assert (task.labels, task.loss, task.selection_metrics) == (("weight",), "L1Loss", ("MAE",))


def test_the_default_network_is_that_of_the_task(tmp_path):
    content = {"Model": {"architecture": "default"}, "Reconstruction": {"loss": "L1Loss"}}
    found = read(tmp_path, content, task={"name": "reconstruction"})
    assert (found.network.name, found.task.loss) == ("AE_Conv5_FC3", "L1Loss")


def test_a_record_of_another_task_gives_what_tasks_share(tmp_path):
    file = record_of(tmp_path, network_task="regression", label="age", loss="L1Loss", epochs=3)
    found = experiment({"task": {"name": "classification"}}, file=file)
    assert (found.task.label, found.task.loss) == ("diagnosis", "CrossEntropyLoss")
    assert found.optimization.epochs == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epoch": 3}, ("key epoch", "epochs")),
        ({"ssda_network": True}, ("ssda_network = True", "not supported yet")),
        ({"batch_size": "x"}, ("maps.json, batch_size",)),
        ({"network_task": "segmentation"}, ("segmentation", "classification")),
    ],
)
def test_a_mistake_in_a_record_is_named(tmp_path, changes, words):
    with pytest.raises(InvalidDataError) as caught:
        experiment({}, file=record_of(tmp_path, **changes))
    assert all(word in str(caught.value) for word in ("maps.json", *words)), str(caught.value)


def test_a_record_says_what_we_cannot_do(tmp_path):
    file = record_of(tmp_path, ssda_network=True, caps_target="other")
    found = recorded(json.loads(file.read_text()), file)
    assert found.unsupported == {"ssda_network": True, "caps_target": "other"}


def test_our_own_json_is_read_too(tmp_path):
    path = tmp_path / "ours.json"
    content = {"data": DATA, "optimization": {"epochs": 5}}
    path.write_text(json.dumps(content))
    assert experiment({}, file=path) == experiment(content)
    path.write_text(json.dumps({"format": "x", "config": content, "created": "now"}))
    assert experiment({}, file=path) == experiment(content)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not JSON"), ("[1]", "not a JSON object"), ('{"optimization": {"epoch": 1}}', "epochs")],
)
def test_a_json_that_is_wrong_is_refused(tmp_path, text, words):
    with pytest.raises(InvalidDataError, match=words):
        experiment({"data": DATA}, file=written(tmp_path, text, "c.json"))


def test_a_json_that_is_absent_is_named(tmp_path):
    with pytest.raises(MissingInputError, match="none.json"):
        experiment({}, file=tmp_path / "none.json")
