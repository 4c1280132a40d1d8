"""The same head under another name is told from its images, and drawn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from clinicadl import PredictConfig, PrepareConfig, predict, prepare_data, train
from clinicadl.config.jobs import JobsConfig
from clinicadl.draws import generator
from clinicadl.engine import pairs, rescans
from clinicadl.engine.train import planned_for
from clinicadl.errors import InvalidDataError
from clinicadl.layouts import images, signatures
from clinicadl.layouts.maps import folder, names
from clinicadl.layouts.maps import signatures as kept

PLANES_OF = pairs.planes_of
IDS = ["participant_id", "session_id"]


def renamed(caps: Path, source: tuple[str, str], target: tuple[str, str]) -> None:
    """Put another scan of somebody into a CAPS, as somebody else: other scale, bias and noise."""
    (path,) = (caps / "subjects" / source[0] / source[1]).rglob("custom/*.nii.gz")
    image = images.read(path)
    draw = generator(3, "re-scan")
    bias = np.linspace(0.8, 1.3, image.voxels.shape[1])[:, None]
    voxels = 400 * image.voxels * bias + draw.normal(0, 15, image.voxels.shape)
    name = path.name.replace(*(f"{who[0]}_{who[1]}" for who in (source, target)))
    images.write(
        caps / "subjects" / target[0] / target[1] / "custom" / name,
        voxels.astype(np.float32),
        affine=image.affine,
    )


def prepare(caps: Path) -> None:
    prepare_data(
        PrepareConfig(
            caps_directory=caps,
            preprocessing={"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"},
            extract_json="tiny",
            n_proc=1,
        )
    )


@pytest.fixture
def seen_twice(prepared: Path, trained: Path) -> tuple[Path, tuple[str, str], Path]:
    """A CAPS in which somebody of train was scanned again, as sub-X9; who, and the table."""
    table = folder.read_group(trained, "train", 0).table
    who = (str(table["participant_id"][0]), str(table["session_id"][0]))
    renamed(prepared, who, ("sub-X9", "ses-M000"))
    prepare(prepared)
    test = pd.read_csv(prepared / "split/test_baseline.tsv", sep="\t")
    row = test.iloc[[0]].assign(participant_id="sub-X9", session_id="ses-M000")
    path = prepared / "group.tsv"
    pd.concat([test, row]).to_csv(path, sep="\t", index=False)
    return prepared, who, path


def look(caps: Path, table: Path, **settings) -> PredictConfig:
    return PredictConfig(caps_directory=caps, participants_tsv=table, n_proc=0, **settings)


def test_the_maps_keeps_what_its_images_show(trained):
    shown = kept.read(names.seen_signatures(trained))
    seen = folder.read_seen(trained)
    assert [*shown] == [""]
    assert sorted(shown[""]) == sorted(zip(*(seen[name] for name in IDS), strict=True))


def test_a_renamed_noisy_copy_is_a_warning_that_names_it_and_a_picture(trained, seen_twice, caplog):
    caps, who, table = seen_twice
    predict(look(caps, table), trained, "again")
    picture = names.group_pairs(names.group(trained, "again"))
    assert f"(sub-X9 | ses-M000) = ({who[0]} | {who[1]}) at 0." in caplog.text
    assert str(picture) in caplog.text
    pixels = matplotlib.image.imread(picture)
    # Both heads are there, beside each other, and look alike.
    width = pixels.shape[1] // 2
    left, right = pixels[25:, :width, 0], pixels[25:, width : 2 * width, 0]
    assert left.std() > 0.1 and right.std() > 0.1
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.5
    said = json.loads(names.guard(names.results(trained, 0, "loss", "again")).read_text())
    (finding,) = said["findings"]
    assert (finding["rule"], finding["severity"]) == ("re-scanned-images", "warn")
    assert finding["participants"] == ["sub-X9"]


def test_a_single_image_is_compared_too(trained, seen_twice, tmp_path, caplog):
    caps, who, _ = seen_twice
    (scan,) = (caps / "subjects/sub-X9").rglob("custom/*.nii.gz")
    moved = shutil.copyfile(scan, tmp_path / "scan.nii.gz")
    predict(PredictConfig(image=(moved,), use_labels=False, n_proc=0), trained, "single")
    assert f"(sub-unknown | ses-unknown) = ({who[0]} | {who[1]}) at 0." in caplog.text
    pixels = matplotlib.image.imread(names.group_pairs(names.group(trained, "single")))
    assert pixels[25:, : pixels.shape[1] // 2, 0].std() > 0.1


def test_the_models_need_not_have_their_training_images_at_hand(
    trained, seen_twice, prepared_once, caplog, monkeypatch
):
    caps, who, table = seen_twice
    for origin in (trained / "groups").glob("*/split-*/maps.json"):
        text = origin.read_text().replace(str(prepared_once), str(prepared_once.with_name("gone")))
        origin.write_text(text)
    drawn = []
    monkeypatch.setattr(pairs, "planes_of", lambda image: drawn.append(image) or PLANES_OF(image))
    predict(look(caps, table), trained, "again")
    assert f"(sub-X9 | ses-M000) = ({who[0]} | {who[1]})" in caplog.text
    own, theirs = drawn
    assert own.voxels.shape == (18, 20, 17)
    # The signature stands for the image.
    known = kept.read(names.seen_signatures(trained))[""][who]
    np.testing.assert_array_equal(theirs.voxels, signatures.volume(known.values))
    pixels = matplotlib.image.imread(names.group_pairs(names.group(trained, "again")))
    assert pixels[25:, pixels.shape[1] // 2 :, 0].std() > 0.05


@pytest.mark.parametrize("why", ["kept in parts", "raw", "on several grids", "no longer there"])
def test_images_that_cannot_be_compared_place_by_place_have_no_signatures(
    why, prepared_once, config_of
):
    stored = planned_for(config_of(prepared_once), JobsConfig()).stored
    (channel,) = stored.channels
    assert len(rescans.signatures_of(stored)) == len(channel.files)
    key, first = next(iter(channel.origins.items()))
    changed = {
        "kept in parts": lambda: {"are_cut": True},
        "raw": lambda: {"origins": {**channel.origins, key: replace(first, source="../bids/x")}},
        "on several grids": lambda: {
            "origins": {
                **channel.origins,
                key: replace(first, affine=tuple(map(tuple, 1.1 * np.array(first.affine)))),
            }
        },
        "no longer there": lambda: {
            "origins": {**channel.origins, key: replace(first, affine=None)}
        },
    }[why]()  # fmt: skip
    stored = replace(stored, channels=(replace(channel, **changed),))
    assert rescans.signatures_of(stored) == {}


def test_people_who_were_not_seen_are_left_alone_and_nothing_is_drawn(
    trained, prepared_once, caplog
):
    predict(look(prepared_once, prepared_once / "split/test_baseline.tsv"), trained, "test")
    assert "head" not in caplog.text
    home = names.group(trained, "test")
    assert names.group_signatures(home).exists() and not names.group_pairs(home).exists()


def test_an_older_maps_without_signatures_says_that_nobody_looked(trained, prepared_once):
    names.seen_signatures(trained).unlink()
    predict(look(prepared_once, prepared_once / "split/test_baseline.tsv"), trained, "test")
    said = json.loads(names.guard(names.results(trained, 0, "loss", "test")).read_text())
    assert said["findings"] == []
    assert said["skipped"] == [
        "re-scanned-images: there are signatures of fewer than 10 participants seen by this MAPS"
    ]


def test_damaged_signatures_are_named(trained, prepared_once):
    path = names.seen_signatures(trained)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidDataError, match="signatures") as refused:
        predict(look(prepared_once, prepared_once / "split/test_baseline.tsv"), trained, "test")
    assert str(path) in str(refused.value)


def test_without_matplotlib_the_warning_says_what_to_install(
    trained, seen_twice, caplog, monkeypatch
):
    caps, _, table = seen_twice
    monkeypatch.setattr(pairs, "find_spec", lambda name: None)
    predict(look(caps, table), trained, "again")
    assert "clinicadl[report]" in caplog.text
    assert not names.group_pairs(names.group(trained, "again")).exists()


def test_a_head_on_both_sides_of_a_split_is_a_warning_before_training(
    prepared, config_of, tmp_path, caplog
):
    tables = prepared / "split/2_fold/split-0"
    validation = pd.read_csv(tables / "validation_baseline.tsv", sep="\t")
    train_ids = pd.read_csv(tables / "train.tsv", sep="\t")
    source = tuple(train_ids[IDS].iloc[0])
    target = tuple(validation[IDS].iloc[0])
    shutil.rmtree(prepared / "subjects" / target[0])
    for session in sorted({*validation.loc[validation["participant_id"] == target[0], "session_id"],
                           *_sessions(prepared, target[0])}):  # fmt: skip
        renamed(prepared, source, (target[0], session))
    prepare(prepared)
    maps = train(config_of(prepared, optimization={"epochs": 1}), tmp_path / "maps").path
    assert f"({target[0]} | {target[1]}) = ({source[0]} | {source[1]}) at 0." in caplog.text
    assert names.seen_pairs(maps).exists()
    recorded = json.loads(names.record(maps).read_text())["guard"]
    assert [one["rule"] for one in recorded] == ["re-scanned-training-images"]


def _sessions(caps: Path, participant: str) -> list[str]:
    labels = pd.read_csv(caps / "labels.tsv", sep="\t")
    return [*labels.loc[labels["participant_id"] == participant, "session_id"]]


def test_prediction_imports_no_matplotlib_where_nothing_is_drawn(trained, prepared_once):
    code = (
        "import sys; from clinicadl import PredictConfig, predict; from pathlib import Path; "
        f"predict(PredictConfig(caps_directory=Path({str(prepared_once)!r}), participants_tsv="
        f"Path({str(prepared_once / 'split/test_baseline.tsv')!r}), n_proc=0), "
        f"Path({str(trained)!r}), 'test'); assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
