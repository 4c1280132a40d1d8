"""The form in a real browser: every setting there and back, by mouse and by keys alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from clinicadl.config.gui import GuiConfig
from clinicadl.config.read import experiment, to_toml
from clinicadl.gui.page import write_form
from clinicadl.gui.server import open_form

pytestmark = pytest.mark.slow
BLANK = "[network]\n"


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
