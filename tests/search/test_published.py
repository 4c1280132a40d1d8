"""Random searches as releases 1.x describe them."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd
import pytest
import tomli_w
from scipy import stats

from clinicadl import (
    RandomAnalysisConfig,
    RandomSearchConfig,
    analyse_random_search,
    random_search,
)
from clinicadl.errors import InvalidDataError, MissingInputError, OutputError, UsageError
from clinicadl.layouts.maps import folder
from clinicadl.search import published

MANY = 60
SIZES = (18, 20, 17)


@pytest.fixture
def launch(prepared_once, tmp_path):
    """Return a function that writes a search of the tiny CAPS, and returns its folder."""

    def written(*, without=(), training=None, rates=(2, 3), **own):
        content = {
            "network_task": "classification",
            "caps_directory": str(prepared_once),
            "tsv_path": str(prepared_once / "split" / "2_fold"),
            "preprocessing_json": "tiny",
            "n_convblocks": [1, 3],
            "first_conv_width": [2, 4],
            "n_fcblocks": [1, 2],
            **own,
        }
        sections = {
            "Computational": {"gpu": False, "n_proc": 0},
            "Cross_validation": {"n_splits": 2, "split": [0]},
            "Optimization": {"epochs": 1},
        }
        if rates is not None:
            sections["Optimization"]["learning_rate"] = rates
        for name, values in (training or {}).items():
            sections[name] = {**sections.get(name, {}), **values}
        for name in without:
            content.pop(name)
        path = tmp_path / "launch"
        path.mkdir(exist_ok=True)
        whole = {"Random_Search": content, **sections}
        (path / "random_search.toml").write_text(tomli_w.dumps(whole))
        return path

    return written


def drawn_of(path, name="one", seed=0):
    """Return the experiment that is drawn, and what is recorded of it."""
    config = RandomSearchConfig(launch_directory=path, name=name, search_seed=seed)
    return published.draw(published.read(path), config, SIZES)


def planned_of(path):
    return published.ready(RandomSearchConfig(launch_directory=path, name="one"))


def values_of(path, key, n=MANY):
    """Return what is drawn of a key under several names, without planning a training."""
    found = published.read(path)
    names = (RandomSearchConfig(launch_directory=path, name=f"n{i}") for i in range(n))
    return [published.draw(found, one, SIZES).record[key] for one in names]


def refusal(path, kind=InvalidDataError):
    with pytest.raises(kind) as error:
        planned_of(path)
    return str(error.value)


def test_one_call_trains_one_maps_of_the_network_that_was_drawn(launch):
    path = launch(network_normalization=["InstanceNorm"], dropout=[0.1, 0.2])
    maps = random_search(RandomSearchConfig(launch_directory=path, name="one", search_seed=5))
    assert maps.path == path / "one"
    config = folder.open_maps(maps.path).record.config
    assert config.network.name == "RandomArchitecture"
    assert config.network.network_normalization == "InstanceNorm"
    assert 0.1 <= config.network.dropout <= 0.2
    assert 1e-3 <= config.optimization.learning_rate <= 1e-2
    assert (maps.path / "split-0" / "best-loss" / "validation").is_dir()
    record = json.loads((path / "one_drawn.json").read_text())
    assert (record["search_seed"], record["name"]) == (5, "one")
    assert record["n_fcblocks"] == config.network.n_fcblocks
    assert record["learning_rate"] == config.optimization.learning_rate
    assert record["convolutions_dict"].keys() == config.network.convolutions_dict.keys()
    with pytest.raises(OutputError, match="one"):
        random_search(RandomSearchConfig(launch_directory=path, name="one"))


def test_name_and_search_seed_decide_what_is_drawn_and_the_training_seed_does_not(launch):
    path = launch(dropout=[0, 0.5])
    first, record = drawn_of(path)
    assert drawn_of(path) == (first, record)
    assert drawn_of(path, name="two")[0] != first
    assert drawn_of(path, seed=1)[0] != first
    assert first.reproducibility.seed == 0
    other = drawn_of(launch(dropout=[0, 0.5], training={"Reproducibility": {"seed": 9}}))[0]
    assert other.reproducibility.seed == 9
    assert other.network == first.network
    assert other.optimization == first.optimization


def test_the_layers_are_drawn_as_described(launch):
    path = launch(n_conv=[1, 2], d_reduction=["MaxPooling", "stride"], channels_limit=4)
    configs = [drawn_of(path, name=f"n{i}")[0] for i in range(12)]
    blocks = [config.network.blocks() for config in configs]
    assert {len(one) for one in blocks} == {1, 2, 3}
    assert {one[0].out_channels for one in blocks} == {2, 4}
    assert {config.network.n_fcblocks for config in configs} == {1, 2}
    assert {block.n_conv for one in blocks for block in one} == {1, 2}
    assert {one[0].d_reduction for one in blocks} == {"MaxPooling", "stride"}
    assert all(len({block.d_reduction for block in one}) == 1 for one in blocks)
    assert max(block.out_channels for one in blocks for block in one) == 4


def test_the_defaults_are_those_of_release_1_6_1(launch):
    config, record = drawn_of(launch())
    assert config.network.network_normalization == "BatchNorm"
    assert config.network.dropout == 0
    assert {block.n_conv for block in config.network.blocks()} == {1}
    assert {block.d_reduction for block in config.network.blocks()} == {"MaxPooling"}
    assert (record["channels_limit"], record["wd_bool"]) == (512, True)


def test_defaults_are_no_exponents(launch):
    path = launch(rates=None)
    config = drawn_of(path)[0]
    assert config.optimization.learning_rate == 1e-4
    assert config.optimization.weight_decay == 1e-4
    path = launch(rates=4)
    assert drawn_of(path)[0].optimization.learning_rate == pytest.approx(1e-4, rel=1e-12)


@pytest.mark.parametrize("section", ["Random_Search", "Optimization"])
def test_rates_are_powers_of_ten_whose_exponents_are_even(launch, section):
    options = {"weight_decay": [3, 5]}
    own = options if section == "Random_Search" else {}
    path = launch(training={} if own else {"Optimization": options}, **own)
    exponents = -np.log10(values_of(path, "weight_decay"))
    assert stats.kstest(exponents, stats.uniform(3, 2).cdf).pvalue > 0.01
    assert 1e-5 <= drawn_of(path)[0].optimization.weight_decay <= 1e-3


def test_ranges_and_lists_are_drawn_evenly(launch):
    path = launch(
        dropout=[0.1, 0.5], accumulation_steps=[1, 4], optimizer=["SGD", "Adam"],
        training={"Data": {"sampler": ["random", "weighted"]}},
    )  # fmt: skip
    dropouts = values_of(path, "dropout")
    assert stats.kstest(dropouts, stats.uniform(0.1, 0.4).cdf).pvalue > 0.01
    steps = np.bincount(values_of(path, "accumulation_steps", 200), minlength=5)[1:]
    assert stats.chisquare(steps).pvalue > 0.01
    for key, names in (("optimizer", ["SGD", "Adam"]), ("sampler", ["random", "weighted"])):
        found = values_of(path, key, 200)
        assert stats.chisquare([found.count(name) for name in names]).pvalue > 0.01


def test_one_range_more_does_not_shift_the_others(launch):
    before = drawn_of(launch(dropout=[0, 0.5]))[1]
    after = drawn_of(launch(dropout=[0, 0.5], weight_decay=[3, 5], optimizer=["SGD", "Adam"]))[1]
    shared = ("dropout", "learning_rate", "convolutions_dict", "n_fcblocks")
    assert [before[key] for key in shared] == [after[key] for key in shared]


def test_without_weight_decay_it_is_zero_whatever_its_range(launch):
    path = launch(wd_bool=[True, False], weight_decay=[3, 5])
    decays = {}
    for i in range(8):
        config, record = drawn_of(path, name=f"n{i}")
        decays.setdefault(record["wd_bool"], set()).add(config.optimization.weight_decay)
    assert decays[False] == {0.0}
    assert min(decays[True]) >= 1e-5
    assert drawn_of(launch(wd_bool=False))[0].optimization.weight_decay == 0.0


PLACES = {
    "batch_size": ("Computational", 3, "optimization.batch_size"),
    "evaluation_steps": ("Computational", 2, "optimization.evaluation_steps"),
    "deterministic": ("Reproducibility", True, "reproducibility.deterministic"),
    "seed": ("Reproducibility", 4, "reproducibility.seed"),
    "compensation": ("Reproducibility", "time", "reproducibility.compensation"),
    "baseline": ("Data", True, "data.baseline"),
    "valid_longitudinal": ("Data", True, "data.valid_longitudinal"),
    "normalize": ("Data", False, "transforms.normalize"),
    "sampler": ("Data", "weighted", "data.sampler"),
    "data_augmentation": ("Data", ["Noise"], "transforms.augmentation"),
    "optimizer": ("Optimization", "SGD", "optimization.optimizer"),
    "epochs": ("Optimization", 2, "optimization.epochs"),
    "adaptive_learning_rate": ("Optimization", True, "optimization.adaptive_learning_rate"),
    "accumulation_steps": ("Optimization", 2, "optimization.accumulation_steps"),
    "patience": ("Optimization", 3, "optimization.patience"),
    "tolerance": ("Optimization", 0.1, "optimization.tolerance"),
    "profiler": ("Optimization", True, "compute.profiler"),
    "save_all_models": ("Optimization", True, "optimization.save_all_models"),
    "dropout": ("Architecture", 0.25, "network.dropout"),
    "label": ("Classification", "sex", "task.label"),
    "label_code": ("Classification", {"AD": 1, "CN": 0}, "task.label_code"),
    "selection_metrics": ("Classification", ["BA", "loss"], "task.selection_metrics"),
    "selection_threshold": ("Classification", 0.3, "task.selection_threshold"),
    "loss": ("Classification", "MultiMarginLoss", "task.loss"),
    "track_exp": ("Reproducibility", "mlflow", "tracking.track_exp"),
    "emissions_calculator": ("Informations", True, "tracking.track_emissions"),
}


@pytest.mark.parametrize("place", ["section", "search"])
@pytest.mark.parametrize("key", PLACES)
def test_every_key_of_the_training_takes_effect_wherever_it_stands(launch, key, place):
    section, value, where = PLACES[key]
    own = {key: value} if place == "search" else {}
    training = {} if own else {section: {key: value}}
    path = launch(training=training, **own)
    if own and key == "epochs":
        text = (path / "random_search.toml").read_text()
        (path / "random_search.toml").write_text(text.replace("epochs = 1\n", ""))
    found = drawn_of(path)[0]
    for step in where.split("."):
        found = getattr(found, step)
    if key == "data_augmentation":
        found = [one.name for one in found]
    if key == "track_exp":
        found = found.name
    assert (list(found) if isinstance(value, list) else found) == value


def test_a_key_of_the_search_and_of_a_section_may_not_contradict_each_other(launch):
    path = launch(epochs=3)
    message = refusal(path)
    assert "Random_Search.epochs and Optimization.epochs" in message
    assert str(path) in message
    assert drawn_of(launch(epochs=1))[0].optimization.epochs == 1


def test_other_keys_given_as_lists_are_chosen_from(launch):
    path = launch(training={"Classification": {"loss": ["CrossEntropyLoss", "MultiMarginLoss"]}})
    found = {drawn_of(path, name=f"n{i}")[0].task.loss for i in range(8)}
    assert found == {"CrossEntropyLoss", "MultiMarginLoss"}
    path = launch(seed=[1, 2, 3])
    assert {drawn_of(path, name=f"n{i}")[0].reproducibility.seed for i in range(12)} == {1, 2, 3}


def test_n_conv_of_variational_networks_says_nothing_about_blocks(launch, caplog):
    path = launch(n_conv=[2], training={"Architecture": {"n_conv": 4, "latent_space_size": 7}})
    with caplog.at_level(logging.WARNING):
        config = planned_of(path).plan.config
    assert {block.n_conv for block in config.network.blocks()} == {2}
    assert caplog.text.count("Architecture.latent_space_size has no effect") == 1


def test_regression_is_searched_too(launch):
    path = launch(
        network_task="regression",
        training={"Regression": {"label": "age", "loss": "L1Loss"},
                  "Classification": {"label": "sex"}},
    )  # fmt: skip
    task = drawn_of(path)[0].task
    assert (task.name, task.labels, task.loss) == ("regression", ("age",), "L1Loss")


def test_what_is_said_of_the_images_must_be_so(launch):
    assert planned_of(launch(mode="image"))
    message = refusal(launch(mode="patch"))
    assert "Random_Search.mode" in message
    assert "patch, and image" in message
    said = {"preprocessing": "custom", "mode": "image"}
    assert planned_of(launch(preprocessing_dict=said))
    assert "t1-linear" in refusal(launch(preprocessing_dict={"preprocessing": "t1-linear"}))


def test_more_blocks_than_the_image_bears_are_never_drawn(launch):
    path = launch(n_convblocks=[1, 20])
    assert max(len(drawn_of(path, name=f"n{i}")[0].network.blocks()) for i in range(10)) <= 4
    assert "bears" in refusal(launch(n_convblocks=9), UsageError)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"network_task": "reconstruction"}, "reconstruction"),
        ({"n_convblocks": [3, 1]}, "n_convblocks"),
        ({"first_conv_width": []}, "first_conv_width"),
        ({"d_reduction": "Pooling"}, "d_reduction"),
        ({"n_convblock": 2}, "n_convblocks"),
        ({"network_normalization": ["BatchNorm", "LayerNorm"]}, "network_normalization"),
        ({"wd_bool": ["yes"]}, "Random_Search.wd_bool"),
        ({"dropout": [0.5, 1.0]}, "Random_Search.dropout"),
        ({"dropout": [0.5, 0.1]}, "Random_Search.dropout"),
        ({"dropout": ["a"]}, "Random_Search.dropout"),
        ({"accumulation_steps": [1.5, 2]}, "Random_Search.accumulation_steps"),
        ({"accumulation_steps": [0, 2]}, "Random_Search.accumulation_steps"),
        ({"weight_decay": 1e-4}, "10 to the power of -x"),
        ({"weight_decay": 0}, "wd_bool = false"),
        ({"optimizer": ["Adam", "Adamant"]}, "Random_Search.optimizer"),
        ({"optimizer": []}, "nothing to choose from"),
        ({"architecture": "Conv5_FC3"}, "networks that it draws"),
    ],
)
def test_what_could_be_drawn_and_not_used_is_refused_whether_or_not_it_is_drawn(launch, own, said):
    path = launch(**own)
    message = refusal(path)
    assert said in message
    assert str(path / "random_search.toml") in message
    assert [one.name for one in path.iterdir()] == ["random_search.toml"]


def test_a_rate_in_the_place_of_an_exponent_is_told(launch):
    message = refusal(launch(training={"Optimization": {"learning_rate": 1e-4}}))
    assert "Optimization.learning_rate" in message
    assert "4 means 1e-4" in message


@pytest.mark.parametrize("key", ["network_task", "tsv_path", "caps_directory", "n_convblocks"])
def test_keys_that_are_needed_are_named(launch, key):
    assert key in refusal(launch(without=[key]))


def test_the_description_is_looked_for(launch, tmp_path):
    path = launch()
    (path / "random_search.toml").unlink()
    assert "random_search.toml" in refusal(path, MissingInputError)
    (path / "random_search.json").write_text("{}")
    assert "release 0.2" in refusal(path, MissingInputError)
    (path / "random_search.toml").write_text("a = [")
    assert "not TOML" in refusal(path)
    (path / "random_search.toml").write_text("[Optimization]\nepochs = 1\n")
    assert "[Random_Search]" in refusal(path)
    (path / "random_search.toml").write_text("epochs = 1\n[Random_Search]\n")
    assert "stands in no section" in refusal(path)


@pytest.mark.parametrize("form", [("random-search",), ("random-search", "generate")])
def test_both_forms_of_the_command_train(launch, invoke, form):
    path = launch(n_convblocks=1)
    code, said, wrong = invoke(*form, path, "one", "--dry-run")
    assert (code, wrong) == (0, "")
    assert 'name = "RandomArchitecture"' in said
    assert f"would write: {path / 'one'}" in said
    assert not (path / "one_drawn.json").exists()
    code, said, _ = invoke(*form, path, "one", "--search_seed", 3)
    assert code == 0
    assert f"MAPS: {path / 'one'}" in said
    assert json.loads((path / "one_drawn.json").read_text())["search_seed"] == 3


def test_help_lists_both_commands(invoke):
    code, said, _ = invoke("random-search", "--help")
    assert code == 0
    assert "generate" in said
    assert "analysis" in said


@pytest.fixture
def searched(launch, trained_once, bits_of):
    """A folder with MAPS of splits 0; 0 and 1; and none that is finished."""
    import shutil

    path = launch()
    for name in ("a", "b", "c"):
        shutil.copytree(trained_once, path / name)
    shutil.copytree(path / "b" / "split-0", path / "b" / "split-1")
    shutil.rmtree(path / "c" / "split-0")
    (path / "notes").mkdir()
    return path


def analysed(path, **more):
    table = analyse_random_search(RandomAnalysisConfig(launch_directory=path, **more))
    return table, table.read_text()


def test_the_analysis_gathers_a_metric_of_all_maps_and_splits(searched, trained_once):
    path, text = analysed(searched)
    assert path == searched / "analysis_metric-loss_selection-loss.tsv"
    results = trained_once / "split-0" / "best-loss" / "validation"
    metrics = pd.read_csv(results / "validation_image_level_metrics.tsv", sep="\t")
    loss = float(metrics["loss"].iloc[0])
    assert text == f"MAPS\tsplit-0\tsplit-1\na\t{loss!r}\t\nb\t{loss!r}\t{loss!r}\nc\t\t\n"
    path, text = analysed(searched, evaluation_metric="MCC", selection_metric="BA")
    assert path.name == "analysis_metric-MCC_selection-BA.tsv"
    results = trained_once / "split-0" / "best-BA" / "validation"
    metrics = pd.read_csv(results / "validation_image_level_metrics.tsv", sep="\t")
    assert float(text.splitlines()[1].split("\t")[1]) == float(metrics["MCC"].iloc[0])


def test_the_analysis_reads_maps_of_release_1_6_1(published_maps, launch):
    import shutil

    path = launch()
    shutil.copytree(published_maps, path / "old")
    table = pd.read_csv(analysed(path, evaluation_metric="BA")[0], sep="\t")
    assert table["MAPS"].tolist() == ["old"]
    assert table["split-0"].notna().all()


def test_the_analysis_names_what_is_missing(searched, launch, invoke):
    assert invoke("random-search", "analysis", searched)[0] == 0
    with pytest.raises(OutputError, match="analysis_metric-loss"):
        analysed(searched)
    assert analysed(searched, overwrite=True)
    with pytest.raises(UsageError, match="Known are .*BA"):
        analysed(searched, evaluation_metric="AB")
    with pytest.raises(MissingInputError, match="BA, loss"):
        analysed(searched, selection_metric="MCC")
    for name in ("a", "b", "c"):
        (searched / name / "maps.json").unlink()
    with pytest.raises(MissingInputError, match="no MAPS"):
        analysed(searched, evaluation_metric="BA")
