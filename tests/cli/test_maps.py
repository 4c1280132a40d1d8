"""``clinicadl maps`` and ``clinicadl train from-maps``: what the commands say and leave."""

from __future__ import annotations

import re
import shutil

import pytest

from clinicadl.layouts.maps import folder


def files(path):
    return sorted(one.relative_to(path) for one in path.rglob("*"))


def test_show_prints_the_page(invoke, trained):
    from clinicadl import show_maps

    code, out, err = invoke("maps", "show", trained)
    assert (code, err) == (0, "")
    assert out == show_maps(trained)


def test_import_makes_a_maps_that_predicts(invoke, published_maps, prepared_once, tmp_path):
    new = tmp_path / "new"
    code, out, err = invoke("maps", "import", published_maps, new)
    assert (code, out, err) == (0, f"MAPS: {new}\n", "")
    code, out, _ = invoke(
        "predict", new, "test", "--caps_directory", prepared_once, "--participants_tsv",
        prepared_once / "split/test_baseline.tsv", "--no-gpu",
    )  # fmt: skip
    assert code == 0
    assert (new / "split-0/best-loss/test/test_image_level_metrics.tsv").exists()


def test_a_dry_import_names_what_it_would_read_and_writes_nothing(invoke, published_maps, tmp_path):
    before = files(tmp_path)
    code, out, _ = invoke("maps", "import", published_maps, tmp_path / "new", "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        f"would read: {published_maps / 'split-0/best-loss/model.pth.tar'}",
        *(f"would read: data group {name} of split {i}" for name in ("train", "validation")
          for i in (0, 1)),
        f"would write: {tmp_path / 'new'}",
    ]  # fmt: skip
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("break_it", "code", "words"),
    [
        (lambda maps: shutil.rmtree(maps / "groups"), 66, "whom its models have seen"),
        (lambda maps: (maps / "maps.json").write_text("{"), 65, "not JSON"),
        (lambda maps: (maps.parent / "new").write_text(""), 73, "exists already"),
    ],
)
def test_a_refusal_has_its_exit_code(invoke, published_maps, tmp_path, break_it, code, words):
    break_it(published_maps)
    found, _, err = invoke("maps", "import", published_maps, tmp_path / "new")
    assert found == code
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["from_maps", "from-maps"])
def test_a_maps_is_trained_from_another(invoke, trained_once, tmp_path, name):
    code, out, _ = invoke("train", name, trained_once, tmp_path / "new", "--dry-run", "-s", 1)
    assert code == 0
    assert re.search(r"# split 0 \(not trained\).*\n# split 1 \(trained\)", out)
    assert f"# would write: {tmp_path / 'new'}" in out
    assert list(tmp_path.iterdir()) == []


def test_training_from_a_published_record(invoke, published_maps, tmp_path):
    code, out, _ = invoke("train", "from_json", published_maps / "maps.json", tmp_path / "new")
    assert (code, out) == (0, f"MAPS: {tmp_path / 'new'}\n")
    assert folder.open_maps(tmp_path / "new").record.config.optimization.batch_size == 4


def test_a_published_file_of_settings_configures_a_training(invoke, prepared_once, tmp_path):
    file = tmp_path / "train_config.toml"
    file.write_text(
        '[Model]\narchitecture = "Conv4_FC3"\n[Computational]\nbatch_size = 3\ngpu = true\n'
        "[Cross_validation]\nn_splits = 2\nsplit = [1]\n[Optimization]\nepochs = 1\n"
    )
    common = ("train", "classification", prepared_once, "tiny", prepared_once / "split/2_fold")
    code, out, _ = invoke(*common, tmp_path / "new", "-c", file, "--dry-run", "--epochs", 4)
    assert code == 0
    for line in ("batch_size = 3", "epochs = 4", 'name = "Conv4_FC3"', "# split 1 (trained)"):
        assert line in out
    file.write_text("[Model]\nssda_network = true\n")
    code, _, err = invoke(*common, tmp_path / "new", "-c", file, "--dry-run")
    assert code == 65
    assert "Model.ssda_network = True" in err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("from-maps", "none", "new"), 66), (("from-json", "none.json", "new"), 66)],
)
def test_a_source_that_is_absent_is_named(invoke, tmp_path, arguments, code):
    name, source, new = arguments
    found, _, err = invoke("train", name, tmp_path / source, tmp_path / new)
    assert found == code
    assert source in err
