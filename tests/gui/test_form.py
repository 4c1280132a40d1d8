"""The form in a real browser: every setting there and back, by mouse and by keys alone."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.gui import GuiConfig
from clinicadl.config.read import experiment, to_toml
from clinicadl.errors import UsageError
from clinicadl.gui.page import write_form
from clinicadl.gui.server import open_form

pytestmark = pytest.mark.slow
BLANK = "[network]\n"
DATA = {"caps_directory": "caps", "preprocessing_json": "t1", "tsv_directory": "split"}


def typed(value: Any) -> Any:
    """Return what a person enters for a value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, tuple):
        is_plain = value and all(not set(str(one)) & set(' ,[]"') for one in value)
        return ", ".join(map(str, value)) if is_plain else json.dumps(value)
    return "(none)" if value == "" else str(value)


def entered(path: tuple[Any, ...], value: Any) -> list[dict[str, Any]]:
    """Return the steps that enter a value, of a row its name first."""
    place, last = ".".join(map(str, path)), path[-1] if path else ""
    if last == "augmentation":
        added = [{"do": "add", "path": place, "name": one["name"]} for one in value]
        own = [((*path, i, key), one[key]) for i, one in enumerate(value) for key in one]
        return added + [step for at, one in own if at[-1] != "name" for step in entered(at, one)]
    if isinstance(value, dict) and last not in ("label_code", "convolutions_dict"):
        keys = sorted(value, key=lambda key: key != "name")
        return [step for key in keys for step in entered((*path, key), value[key])]
    if last in ("gpu", "channels_last"):
        return [{"do": "set", "path": place, "value": "yes" if value else "no"}]
    return [{"do": "set", "path": place, "value": typed(value)}]


def whole(experiments: list[dict[str, Any]]) -> list[Any]:
    return [experiment(one) for one in experiments]


@pytest.fixture(scope="module", params=["served", "exported"])
def round_trips(request, drive, experiments, tmp_path_factory):
    """What the browser saw, and for each experiment the TOML of it entered, and of it opened."""
    folder = tmp_path_factory.mktemp("form")
    (folder / "blank.toml").write_text(BLANK)
    configs = whole(experiments)
    for i, config in enumerate(configs):
        (folder / f"{i}.toml").write_text(to_toml(config))
    steps: list[dict[str, Any]] = [{"do": "click", "at": "#all"}]
    saves = []
    for i, given in enumerate(experiments):
        # Another one than was entered: what is opened is not there already.
        opened = {"do": "open", "file": str(folder / f"{(i + 1) % len(configs)}.toml")}
        blank = {"do": "open", "file": str(folder / "blank.toml")}
        for before in ([blank, *entered((), given)], [opened]):
            steps += [*before, {"do": "save"}]
            saves.append(len(steps) - 1)
    if request.param == "exported":
        page = write_form(GuiConfig(export=folder / "form.html"))
        seen, own = drive(page.as_uri(), steps), page.as_uri()
    else:
        with open_form(GuiConfig(browser=False)) as address:
            seen, own = drive(address, steps), address.partition("?")[0]
    texts = [seen["results"][i] for i in saves]
    return seen, own, texts[::2], texts[1::2]


def read(text: str, folder: Path) -> Any:
    path = folder / "saved.toml"
    path.write_text(text)
    return experiment({}, file=path)


def test_every_setting_that_is_entered_is_saved(round_trips, experiments, tmp_path):
    for config, text in zip(whole(experiments), round_trips[2], strict=True):
        assert read(text, tmp_path) == config


def test_every_setting_that_is_opened_is_saved(round_trips, experiments, tmp_path):
    configs = whole(experiments)
    for config, text in zip([*configs[1:], configs[0]], round_trips[3], strict=True):
        assert read(text, tmp_path) == config


def test_the_browser_complains_of_nothing_and_asks_nobody_else(round_trips):
    seen, own, *_ = round_trips
    assert seen["console"] == []
    elsewhere = [one for one in seen["requests"] if not one.startswith((own, "blob:"))]
    assert elsewhere == []


def asked(drive, steps, **config):
    """Return what was seen of a form on this machine."""
    with open_form(GuiConfig(browser=False, **config)) as address:
        return drive(address, steps)


def put(path, value):
    return {"do": "set", "path": path, "value": value}


VISIBLE = {"do": "visible"}
NETWORKS = {"do": "offered", "path": "network.name"}


def test_only_what_means_something_is_shown(drive, tmp_path):
    """What decides is set one after the other; each time the settings that depend on it come."""
    settings = {
        "task.loss", "task.vote", "task.recons_weight", "multi_network", "network.dropout",
        "data.sampler", "transforms.normalization.name", "optimization.tolerance",
        "optimization.schedule.name", "optimization.schedule.step_epochs",
    }  # fmt: skip
    steps = [
        {"do": "unfold"}, VISIBLE, NETWORKS,
        {"do": "choose", "at": "#mode", "value": "slice"}, VISIBLE, NETWORKS,
        {"do": "choose", "at": "#mode", "value": "image"}, VISIBLE,
        put("optimization.patience", "3"), put("optimization.schedule.name", "step"), VISIBLE,
        put("optimization.adaptive_learning_rate", True), put("transforms.normalize", False),
        put("task.name", "reconstruction"), VISIBLE, NETWORKS,
        {"do": "click", "at": "#all"}, VISIBLE,
    ]  # fmt: skip
    results = asked(drive, steps)["results"]
    at_first, of_slices, of_images, more, of_reconstruction, everything = (
        set(one) & settings
        for one, step in zip(results, steps, strict=True) if step is VISIBLE
    )  # fmt: skip
    networks, of_planes, of_images_back = (
        one for one, step in zip(results, steps, strict=True) if step is NETWORKS
    )
    always = {"task.loss", "network.dropout", "data.sampler", "transforms.normalization.name",
              "optimization.schedule.name"}  # fmt: skip
    assert at_first == of_slices == {*always, "task.vote", "multi_network"}
    assert of_images == always
    added = {"optimization.tolerance", "optimization.schedule.step_epochs"}
    assert more == always | added
    # A schedule that was chosen stays in sight, though it does not go with what was chosen then.
    assert of_reconstruction == {
        "task.loss", "task.recons_weight", "optimization.schedule.name", *added
    }  # fmt: skip
    assert everything >= of_reconstruction | {"data.sampler", "transforms.normalization.name"}
    assert {"resnet18", "ResNet3D", "Conv5_FC3"} <= set(networks)
    assert set(of_planes) & {"resnet18", "ResNet3D", "Conv5_FC3"} == {"resnet18", "Conv5_FC3"}
    assert "AE_Conv5_FC3" not in networks
    assert "AE_Conv5_FC3" in of_images_back
    assert "Conv5_FC3" not in of_images_back


def test_the_search_finds_names_and_help(drive):
    empty = {"do": "press", "key": "Escape"}
    found = asked(
        drive,
        [
            {"do": "click", "at": "#search"},
            {"do": "type", "text": "PATIENCE"}, VISIBLE, empty,
            {"do": "type", "text": "translate the network"}, VISIBLE, empty,
            {"do": "type", "text": "no such word"}, VISIBLE, {"do": "text", "at": "#nothing"},
            empty, VISIBLE,
        ],
    )["results"]  # fmt: skip
    assert found[2] == ["optimization.patience"]
    assert found[5] == ["compute.compile"]
    assert found[8] == []
    assert "No setting" in found[9]
    assert len(found[11]) > 20


def test_a_problem_is_shown_at_its_setting_and_keeps_the_file_from_being_written(drive, tmp_path):
    file = tmp_path / "own.toml"
    seen = asked(
        drive,
        [
            put("optimization.epochs", "many"), {"do": "settled"},
            {"do": "text", "at": '[data-path="optimization.epochs"] .error'},
            {"do": "text", "at": "#problems"}, {"do": "text", "at": "#badge"},
            {"do": "press", "key": "Control+s"},
            {"do": "wait", "at": "#said", "text": "Nothing was saved"},
            {"do": "focus"},
            put("optimization.epochs", "7"),
            {"do": "press", "key": "Control+s"},
            {"do": "wait", "at": "#said", "text": "own.toml"},
            {"do": "text", "at": '[data-path="optimization.epochs"] .error'},
        ],
        experiment_toml=file,
    )  # fmt: skip
    found = seen["results"]
    with pytest.raises(UsageError) as refused:
        experiment({"data": DATA, "optimization": {"epochs": "many"}})
    assert found[2] == str(refused.value)
    assert found[3] == f"optimization.epochs {refused.value}"
    assert found[4] == "1 to mend"
    assert found[7]["id"] == "f-optimization.epochs"
    assert found[11] == ""
    assert tomllib.loads(file.read_text())["optimization"]["epochs"] == 7
    assert seen["console"] == []


WRONG = (-1, 10**9, 0.5, "no such", True, [[]], None)


def wrong(values, path=()):
    """Yield a place of every value, and three things that it may not be, each in its turn."""
    for i, (key, value) in enumerate(values.items()):
        if isinstance(value, dict):
            yield from wrong(value, (*path, key))
        yield from (((*path, key), WRONG[(i + step) % len(WRONG)]) for step in (0, 2, 4))


def test_the_page_alone_finds_what_the_schema_forbids(drive, experiments, tmp_path):
    """As jsonschema does, of each setting with each kind of value that it may not have."""
    whole_of = [json.loads(config.model_dump_json()) for config in whole(experiments)]
    cases = [*whole_of, {**whole_of[1], "strange": 1}, {"data": {}}]
    for path, value in wrong(whole_of[0]):
        case = json.loads(json.dumps(whole_of[0]))
        level = case
        for step in path[:-1]:
            level = level[step]
        level[path[-1]] = value
        cases.append(case)
    page = write_form(GuiConfig(export=tmp_path / "form.html"))
    code = f"{json.dumps(cases)}.map(one => problemsOf(ROOT, one, []).length > 0)"
    (found,) = drive(page.as_uri(), [{"do": "run", "code": code}])["results"]
    judge = Draft202012Validator(ExperimentConfig.model_json_schema())
    expected = [not judge.is_valid(one) for one in cases]
    assert [
        one for one, *said in zip(cases, found, expected, strict=True) if said[0] != said[1]
    ] == []
    assert expected.count(True) > 100
    assert expected.count(False) > 30


def test_the_page_alone_says_so_and_shows_problems_and_the_command(drive, tmp_path):
    page = write_form(GuiConfig(export=tmp_path / "form.html"))
    (tmp_path / "odd.toml").write_text("[optimization]\nepoch = 3\n")
    steps = [
        {"do": "text", "at": "aside"},
        {"do": "open", "file": str(tmp_path / "odd.toml")}, {"do": "text", "at": "#said"},
        put("optimization.epochs", "0"), {"do": "settled"}, {"do": "text", "at": "#problems"},
        put("optimization.epochs", "3"), put("data.caps_directory", "my caps"),
        put("data.preprocessing_json", "t1"), put("data.tsv_directory", "it's"),
        {"do": "settled"}, {"do": "text", "at": "#command"}, {"do": "text", "at": "#badge"},
        {"do": "text", "at": "#command-note"},
    ]  # fmt: skip
    seen = drive(page.as_uri(), steps)
    found = seen["results"]
    assert "--dry-run" in found[0]
    assert "epoch is not known" in found[2]
    assert "at least 1" in found[5]
    assert shlex.split(found[11]) == [
        "clinicadl", "train", "classification", "my caps", "t1", "it's", "maps",
        "--config_file", "experiment.toml",
    ]  # fmt: skip
    assert found[12] == "ready"
    assert "Save the settings as experiment.toml first" in found[13]
    assert seen["console"] == []


def test_an_experiment_is_filled_in_by_keys_alone(drive, tmp_path):
    """Tab, letters, space, arrows and Control+S; where one is can always be seen."""
    focus = {"do": "focus"}
    steps = [
        {"do": "tab", "to": "f-data.caps_directory"}, focus, {"do": "type", "text": "caps"},
        {"do": "tab", "to": "f-data.preprocessing_json"}, {"do": "type", "text": "t1"},
        {"do": "tab", "to": "f-data.tsv_directory"}, {"do": "type", "text": "split"},
        {"do": "tab", "to": "f-data.baseline"}, focus, {"do": "press", "key": "Space"},
        {"do": "tab", "to": "f-task.name"}, focus, {"do": "type", "text": "regr"},
        {"do": "tab", "to": "f-network.name"}, {"do": "type", "text": "Conv4"},
        {"do": "tab", "to": "f-network.dropout"}, {"do": "press", "key": "Control+a"},
        {"do": "type", "text": "0.3"},
        {"do": "tab", "to": "f-optimization.epochs"}, {"do": "press", "key": "Control+a"},
        {"do": "type", "text": "55"}, {"do": "press", "key": "Escape"},
        {"do": "press", "key": "Control+a"}, {"do": "type", "text": "9"},
        {"do": "settled"}, {"do": "text", "at": "#command"}, {"do": "saveByKeys"},
    ]  # fmt: skip
    with open_form(GuiConfig(browser=False)) as address:
        found = drive(address, steps)["results"]
    assert found[-2] == (
        "clinicadl train regression caps t1 split maps --baseline --architecture Conv4_FC3 "
        "--dropout 0.3 --epochs 9"
    )
    given = {
        "data": {**DATA, "baseline": True}, "task": "regression",
        "network": {"name": "Conv4_FC3", "dropout": 0.3}, "optimization": {"epochs": 9},
    }  # fmt: skip
    assert read(found[-1], tmp_path) == experiment(given)
    for outline in (found[1], found[8], found[11]):
        assert outline["outline"] == "solid 3px"


def test_every_control_has_a_label_and_a_description(drive):
    added = [{"do": "add", "path": "transforms.augmentation", "name": name}
             for name in ("Noise", "Flip")]  # fmt: skip
    *_, found = asked(drive, [*added, {"do": "nameless"}])["results"]
    assert found.pop("n") == found.pop("n_ids") > 60
    assert found == {"controls": [], "buttons": 0}


def test_images_network_and_splits_are_looked_at(drive, prepared_once):
    folders = {"caps_directory": prepared_once, "preprocessing_json": "tiny",
               "tsv_directory": prepared_once / "split" / "2_fold"}  # fmt: skip
    steps = [
        *(put(f"data.{name}", str(path)) for name, path in folders.items()),
        # What the check says moves what is below it: one clicks when it has been said.
        put("validation.n_splits", "2"), {"do": "settled"},
        {"do": "click", "at": "#network summary"},
        {"do": "wait", "at": "#network-shown", "text": "parameters"}, {"do": "settled"},
        {"do": "text", "at": "#images-note"}, {"do": "text", "at": "#network-shown"},
        {"do": "click", "at": "#splits summary"}, {"do": "click", "at": "#look-splits"},
        {"do": "wait", "at": "#splits-shown", "text": "Split 1"},
        {"do": "text", "at": "#splits-shown"},
    ]  # fmt: skip
    seen = asked(drive, steps)
    images, network, splits = (one for one, step in zip(seen["results"], steps, strict=True)
                               if step["do"] == "text")  # fmt: skip
    assert "image, 1 part an image, 1 x 18 x 20 x 17" in images
    assert "Conv5_FC3" in network
    assert "memory" in network
    assert "The leakage guard finds nothing" in splits
    assert "sub-T" in splits
    assert seen["console"] == []


PLUGIN = """
from clinicadl.tasks.metrics import Metric

CLASSIFICATION_METRICS = {"Mine": Metric(lambda confusions: 1.0, True, 0, 1)}
"""


def test_the_command_serves_until_control_c_and_knows_plugins(drive, tmp_path):
    """What a plugin adds is a choice of the form, too; Control-C is how a form ends."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    words = ["--plugin", tmp_path / "mine.py", "gui", "--no-browser", tmp_path / "own.toml"]
    with subprocess.Popen(
        [sys.executable, "-m", "clinicadl", *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as running:
        address = running.stdout.readline().removeprefix("form: ").strip()
        steps = [put("task.extra_metrics", "Mine"), {"do": "click", "at": "#save"},
                 {"do": "wait", "at": "#said", "text": "Saved"}]  # fmt: skip
        seen = drive(address, steps)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=30) == 0
    assert tomllib.loads((tmp_path / "own.toml").read_text())["task"]["extra_metrics"] == ["Mine"]
    assert seen["console"] == []
