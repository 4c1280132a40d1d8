from __future__ import annotations

import io
import re
import runpy
import shlex
import sys
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def example(monkeypatch, tmp_path, capsys):
    """Run an example in this process, in a folder of its own: returns (commands, what it said).

    A process for each command would take longer than what the commands do on so few brains.
    """
    for extra in ("nilearn", "matplotlib", "sklearn"):
        pytest.importorskip(extra)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.syspath_prepend(ROOT / "examples" / "demo")
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    steps = import_module("steps")
    own_process = steps.ended
    monkeypatch.setattr(
        # What a plugin adds would stay in this process.
        steps, "ended", lambda words: (own_process if "--plugin" in words else _ended)(words)
    )  # fmt: skip

    def call(name: str, *options: object) -> tuple[list[str], str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        assert import_module(name).main() == 0
        said = capsys.readouterr().out
        return [line[2:] for line in said.splitlines() if line.startswith("$ ")], said

    return call


def _ended(words):
    from clinicadl.cli.main import run

    said = io.StringIO()
    with redirect_stderr(said), pytest.raises(SystemExit) as done:
        if words[0] == "-m":
            run(words[2:])
        before = sys.argv
        try:
            sys.argv = list(words)
            runpy.run_path(words[0], run_name="__main__")
        finally:
            sys.argv = before
        raise SystemExit(0)
    return int(done.value.code or 0), said.getvalue()


def _shown(page):
    """The commands that a page shows, numbers left out: the test runs a smaller form."""
    text = (ROOT / "docs" / "tutorials" / page).read_text().replace("\\\n", " ")
    lines = [line.removeprefix("$ ") for line in text.splitlines()]
    return [_form(line) for line in lines if line.startswith(("clinicadl ", "python examples/d"))]


def _form(command):
    words = [word for word in shlex.split(command) if word not in ("--shuffle-labels",)]
    return re.sub(r"(?<![\w-])\d[\d.e-]*", "N", " ".join(words))


def _assert_shows(page, commands):
    ran = {_form(command) for command in commands}
    shown = _shown(page)
    assert shown
    assert not [command for command in shown if command not in ran]


@pytest.mark.slow
def test_patches_vote_and_no_vote_is_learnt_on_the_test_set(example):
    commands, said = example(
        "patches_and_voting", "--folder", "patches", "--n-participants", 24, "--n-test", 8,
        "--epochs", 1,
    )  # fmt: skip
    assert re.search(r"best patch of validation: [01]\.", said)
    assert Path("patches/patches.png").read_bytes().startswith(PNG)
    _assert_shows("patches-and-voting.md", commands)


@pytest.mark.slow
def test_regions_go_from_an_autoencoder_to_a_network_each(example):
    commands, said = example(
        "roi_transfer", "--folder", "regions", "--n-participants", 16, "--n-test", 4, "--epochs", 1
    )  # fmt: skip
    assert re.search(r"are in train of the same split of \S*regions/ae", said)
    assert not Path("regions/refused").exists()
    assert Path("regions/regions.png").read_bytes().startswith(PNG)
    _assert_shows("roi-autoencoder-to-multicnn.md", commands)


@pytest.mark.slow
def test_a_transfer_that_leaks_is_refused_and_marked_where_it_is_measured(example):
    commands, said = example(
        "transfer", "--folder", "transfer", "--n-participants", 20, "--n-clinic", 12,
        "--n-test", 4, "--epochs", 1,
    )  # fmt: skip
    assert said.count("4 of 4 participants of data group test were seen") == 2
    marked = Path("transfer/true/clinic-mixed/split-0/best-BA/test/test_image_level_metrics.tsv")
    assert "to measure what the leak is worth" in marked.read_text()
    honest = Path("transfer/true/clinic-others/split-0/best-BA/test/test_image_level_metrics.tsv")
    assert "to measure" not in honest.read_text()
    assert Path("transfer/transfer.png").read_bytes().startswith(PNG)
    _assert_shows("transfer-without-leakage.md", commands)


@pytest.mark.data
@pytest.mark.slow
def test_the_gap_of_brain_age_is_corrected_by_what_validation_says(example, real_data):
    commands, said = example(
        "brain_age", "--data", real_data / "ixi-caps-4mm", "--folder", "brain-age", "--epochs", 1
    )  # fmt: skip
    assert "mean size of the gap, mean age of train, corrected alike: 0.00" in said
    assert "correlation of gap and age, learnt on the test set: " in said
    assert Path("brain-age/brain-age.png").read_bytes().startswith(PNG)
    _assert_shows("brain-age.md", commands)


def test_the_line_and_the_intervals_of_brain_age_are_those_of_numpy(example):
    import numpy as np

    brain_age, steps = import_module("brain_age"), import_module("steps")
    age = np.linspace(20, 80, 24)
    line = brain_age.line_of(age, 10 + 0.5 * age)
    np.testing.assert_allclose(line, (10, 0.5))
    around = np.tile([1.0, -1.0], 12)
    said = {"a": age + 1, "network": 10 + 0.5 * age + around}
    found = brain_age.numbers(age, said, {"line": line})
    np.testing.assert_allclose(found["MAE, a"], 1)
    np.testing.assert_allclose(found["mean size of the gap, line"], 1)
    expected = np.corrcoef(age, around)[0, 1]
    np.testing.assert_allclose(found["correlation of gap and age, line"].value, expected)
    values = np.random.default_rng(0).normal(size=200)
    said = steps.estimate(lambda rows: values[rows].mean(), 200)
    error = values.std(ddof=1) / np.sqrt(200)
    # An interval of the mean is that of the normal distribution, but for 3000 draws.
    np.testing.assert_allclose(
        said[1:], values.mean() + 1.96 * error * np.array([-1, 1]), atol=0.02
    )


@pytest.mark.slow
def test_slices_that_are_drawn_at_random_tell_labels_that_mean_nothing(example):
    _, said = example("leaking_study", "--folder", "study", "--n-participants", 30)
    slices, people = (
        float(re.search(rf"{name}: (\S+)", said).group(1)) for name in ("by-slices", "by-people")
    )
    assert slices > 0.85
    # Five standard errors of a share of 10 people.
    assert abs(people - 0.5) < 5 * 0.5 / 10**0.5
    assert float(re.search(r"best (\S+)", said).group(1)) >= 0.6
    assert "are also in train" in said
    assert Path("study/study.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained_compared_and_reported(example):
    commands, _ = example(
        "custom_network", "--folder", "own", "--n-participants", 16, "--n-test", 4, "--epochs", 1
    )  # fmt: skip
    assert any("--plugin examples/mirror_network.py" in command for command in commands)
    assert Path("own/Mirror/report.html").is_file()
    assert Path("own/network.png").read_bytes().startswith(PNG)


def test_the_page_shows_the_network_as_it_is():
    page = (ROOT / "docs" / "tutorials" / "custom-network.md").read_text()
    assert (ROOT / "examples" / "mirror_network.py").read_text() in page


def test_a_mirrored_image_is_told_alike(example):
    import torch

    from clinicadl.networks.streams import seeded

    with seeded(0, "weights"):
        network = import_module("mirror_network").Mirror(first_channels=2).build((1, 17, 20, 33), 3)
    images = torch.rand(2, 1, 17, 20, 33)
    network.eval()
    assert network(images).shape == (2, 3)
    # Sums are taken in another order.
    torch.testing.assert_close(network(images), network(images.flip(2)))


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(example):
    _, said = example(
        "cluster", "--folder", "cluster", "--n-participants", 8, "--epochs", 4, "--killed-after", 1
    )  # fmt: skip
    assert re.search(r"killed after epoch \d; 18 files, the same to the last bit", said)
    assert Path("cluster/cluster.png").read_bytes().startswith(PNG)
