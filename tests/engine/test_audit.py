"""One audit finds what leaks in tables, CAPS and MAPS, and between them."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import pandas as pd
import pytest

from clinicadl import AuditConfig, CheckConfig, PredictConfig, audit, check_tables, predict
from clinicadl.draws import generator
from clinicadl.engine import pairs
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    LeakageError,
    MissingExtraError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts import images
from clinicadl.layouts.maps import folder, names

IDS = ["participant_id", "session_id"]


def audited(*paths: Path, **said):
    return audit(AuditConfig(paths=paths, **said))


def rules(findings) -> list[str]:
    return [finding.rule for finding in findings]


def image_of(caps: Path, who: tuple[str, str]) -> Path:
    (path,) = (caps / "subjects" / who[0] / who[1]).rglob("custom/*.nii.gz")
    return path


def put(caps: Path, source: Path, target: str, *, noise: float = 0.0) -> Path:
    """Put an image into a CAPS under another name; without noise the very same file."""
    first, second, rest = source.name.split("_", 2)
    path = caps / "subjects" / target / second / "custom" / f"{target}_{second}_{rest}"
    path.parent.mkdir(parents=True)
    assert first != target
    if not noise:
        shutil.copy(source, path)
        return path
    image = images.read(source)
    voxels = image.voxels + generator(4, "again").normal(0, noise, image.voxels.shape)
    images.write(path, (300 * voxels).astype(np.float32), affine=image.affine)
    return path


def seen_session(maps: Path) -> tuple[str, str]:
    table = folder.read_group(maps, "train", 0).table
    return str(table["participant_id"][0]), str(table["session_id"][0])


def table_of(path: Path, *who: tuple[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(who, columns=IDS).to_csv(path, sep="\t", index=False)
    return path


# Tables


def test_tables_are_judged_as_by_tsvtools_check(prepared_once):
    tables = prepared_once / "split"
    ours, theirs = audited(tables), check_tables(CheckConfig(paths=(tables,)))
    assert ours == theirs
    assert ours.exit_code == 0


def test_a_leak_in_tables_is_one_here_too(tmp_path):
    table_of(tmp_path / "train.tsv", ("sub-1", "ses-M000"), ("sub-2", "ses-M000"))
    table_of(tmp_path / "test.tsv", ("sub-02", "ses-M000"))
    report = audited(tmp_path)
    assert rules(report.leaks) == ["shared-participants"] and report.exit_code == 4


# MAPS


def test_a_sound_maps_is_clean_and_its_looks_are_told(trained, prepared_once):
    predict(
        PredictConfig(
            caps_directory=prepared_once,
            participants_tsv=prepared_once / "split/test_baseline.tsv",
            n_proc=0,
        ),
        trained,
        "test",
    )
    report = audited(trained)
    assert (report.leaks, report.faults, report.warnings) == ((), (), ())
    (note,) = report.notes
    assert note.startswith(f"MAPS: {trained}: 2 splits, 1 data group; 1 look at test, the last on")
    assert report.summary == "1 MAPS checked: 0 leaks, 0 faults, 0 warnings"


def test_a_leak_that_was_accepted_stays_one_and_bears_the_reason(trained, prepared_once, tmp_path):
    who = seen_session(trained)
    table = table_of(tmp_path / "group.tsv", who)
    predict(
        PredictConfig(
            caps_directory=prepared_once, participants_tsv=table, n_proc=0,
            accept_leakage="how much it remembers", use_labels=False,
        ),
        trained,
        "again",
    )  # fmt: skip
    report = audited(trained)
    assert rules(report.leaks) == ["seen-participants", "seen-sessions"]
    assert all("(accepted: how much it remembers)" in one.sentence for one in report.leaks)
    assert all(str(trained) in one.sentence for one in report.leaks)
    with pytest.raises(LeakageError):
        report.enforce()


def test_somebody_on_both_sides_of_a_recorded_split_is_a_leak(trained):
    path = names.group_table(names.group(trained, "validation", 1))
    rows = pd.read_csv(path, sep="\t", dtype=str)
    other = folder.read_group(trained, "train", 1).table.iloc[[0]]
    pd.concat([rows, other]).to_csv(path, sep="\t", index=False)
    report = audited(trained)
    assert rules(report.leaks) == ["shared-participants"]
    assert report.leaks[0].participants == (other["participant_id"].iloc[0],)


def test_a_source_of_weights_that_was_fitted_on_validation_is_a_leak(trained):
    path = names.record(trained)
    record = json.loads(path.read_text())
    who = str(folder.read_group(trained, "validation", 0).table["participant_id"][0])
    record["parents"] = [
        {"path": "source", "selection_metric": "loss", "train": {"0": [who]}, "epochs": {}}
    ]
    path.write_text(json.dumps(record))
    report = audited(trained)
    assert rules(report.leaks) == ["biased-transfer"] and "source" in report.leaks[0].sentence


def test_people_of_the_test_set_among_those_of_the_splits_are_a_leak(
    trained_once, prepared, tmp_path
):
    maps = Path(shutil.copytree(trained_once, tmp_path / "maps"))
    home = folder.open_maps(maps).record.config.data.tsv_directory
    text = names.record(maps).read_text()
    names.record(maps).write_text(text.replace(str(home), str(prepared / "split/2_fold")))
    assert audited(maps).leaks == ()
    test = prepared / "split" / "test_baseline.tsv"
    rows = pd.read_csv(test, sep="\t", dtype=str)
    seen = seen_session(maps)
    rows.loc[len(rows), IDS] = seen
    rows.to_csv(test, sep="\t", index=False)
    report = audited(maps)
    assert rules(report.leaks) == ["late-split"]
    assert report.leaks[0].participants == (seen[0],)


def test_a_maps_of_release_1_is_read_as_far_as_it_goes(published_maps):
    report = audited(published_maps)
    assert report.exit_code == 0
    assert "(of release 1.x): 2 splits, 0 data groups" in report.notes[0]
    train = pd.read_csv(published_maps / "groups/train/split-0/data.tsv", sep="\t")
    group = published_maps / "groups" / "later"
    table_of(group / "data.tsv", tuple(train[IDS].iloc[0]))
    shutil.copy(published_maps / "groups/train/split-0/maps.json", group / "maps.json")
    report = audited(published_maps)
    assert rules(report.leaks) == ["seen-participants", "seen-sessions"]
    assert report.leaks[0].participants == (train["participant_id"].iloc[0],)
    assert any("not looked at" in note and "re-scanned" in note for note in report.notes)


def test_a_maps_that_does_not_say_whom_it_saw_is_refused(published_maps):
    shutil.rmtree(published_maps / "groups" / "validation")
    with pytest.raises(MissingInputError, match="whom its models have seen"):
        audited(published_maps)


def test_a_test_set_of_people_whom_a_maps_has_seen_is_a_leak(trained, prepared_once, tmp_path):
    who = seen_session(trained)
    report = audited(trained, table_of(tmp_path / "people.tsv", who, ("sub-New", "ses-M000")))
    assert rules(report.leaks) == ["seen-participants", "seen-sessions"]
    assert report.leaks[0].participants == (who[0],)
    assert "data group" not in report.leaks[0].sentence
    # Whom it was trained on stands in the tables of training: that is no leak.
    clean = audited(trained, prepared_once / "split")
    assert clean.leaks == () and clean.others == ("1 MAPS",) and len(clean.sets) > 2


# CAPS


def test_a_sound_caps_is_clean(prepared_once):
    (note,) = audited(prepared_once).notes
    assert note == f"CAPS: {prepared_once}: 25 images of 20 participants"
    assert audited(prepared_once).exit_code == 0


@pytest.mark.parametrize("are_prepared", [True, False])
def test_one_file_under_two_names_is_a_fault(prepared, are_prepared):
    who = ("sub-T003", "ses-M000")
    put(prepared, image_of(prepared, who), "sub-X9")
    if are_prepared:
        # The tensor stands for an image that is gone.
        image_of(prepared, who).unlink()
    else:
        for path in prepared.rglob("deeplearning_prepare_data"):
            shutil.rmtree(path)
    report = audited(prepared)
    assert rules(report.faults) == ["repeated-images"] and report.exit_code == 65
    assert "(sub-T003 | ses-M000) = (sub-X9 | ses-M000)" in report.faults[0].sentence
    assert rules(report.warnings) == []
    with pytest.raises(InvalidDataError):
        report.enforce()


def test_one_head_under_two_names_is_a_warning_with_a_picture(prepared, tmp_path):
    put(prepared, image_of(prepared, ("sub-T003", "ses-M000")), "sub-X9", noise=0.05)
    report = audited(prepared, pictures=tmp_path / "pictures", json_file=tmp_path / "found.json")
    assert rules(report.warnings) == ["re-scanned-images"] and report.exit_code == 0
    assert str(tmp_path / "pictures" / "pairs-1.png") in report.warnings[0].sentence
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["pairs-1.png"]
    pixels = matplotlib.image.imread(tmp_path / "pictures" / "pairs-1.png")
    width = pixels.shape[1] // 2
    left, right = pixels[25:, :width, 0], pixels[25:, width : 2 * width, 0]
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.5
    (said,) = json.loads((tmp_path / "found.json").read_text())["findings"]
    (pair,) = said["pairs"]
    assert pair[:2] == [["sub-T003", "ses-M000"], ["sub-X9", "ses-M000"]] and 0.3 < pair[2] < 1


def test_heads_are_compared_between_two_caps(prepared, caps_of, tmp_path):
    other = caps_of(tmp_path / "other", first=100, n_participants=12)
    assert audited(prepared, other).warnings == ()
    put(other, image_of(prepared, ("sub-T003", "ses-M000")), "sub-X9", noise=0.05)
    put(other, image_of(prepared, ("sub-T005", "ses-M000")), "sub-X8")
    report = audited(prepared, other)
    assert rules(report.warnings) == ["re-scanned-images"]
    assert "(sub-T003 | ses-M000) = (sub-X9 | ses-M000)" in report.warnings[0].sentence
    assert rules(report.faults) == ["repeated-images"]
    assert "(sub-T005 | ses-M000) = (sub-X8 | ses-M000)" in report.faults[0].sentence
    assert report.summary.startswith("2 CAPS, ")


def test_images_that_a_maps_has_seen_under_another_name_are_told(trained, caps_of, tmp_path):
    who = seen_session(trained)
    source = Path(json.loads((trained / "groups/train/split-0/maps.json").read_text())[
        "caps_directory"])  # fmt: skip
    other = caps_of(tmp_path / "other", first=100, n_participants=12)
    put(other, image_of(source, who), "sub-X8")
    report = audited(trained, other)
    assert rules(report.leaks) == ["seen-images"] and report.leaks[0].participants == ("sub-X8",)
    shutil.rmtree(other / "subjects" / "sub-X8")
    put(other, image_of(source, who), "sub-X9", noise=0.05)
    report = audited(trained, other, pictures=tmp_path / "pictures")
    assert rules(report.warnings) == ["re-scanned-images"] and report.leaks == ()
    assert f"(sub-X9 | {who[1]}) = ({who[0]} | {who[1]})" in report.warnings[0].sentence
    assert (tmp_path / "pictures" / "pairs-1.png").is_file()
    # The training images are no news to their MAPS.
    assert audited(trained, source).warnings == audited(trained, source).leaks == ()


def test_images_that_cannot_be_read_are_named(prepared):
    path = put(prepared, image_of(prepared, ("sub-T003", "ses-M000")), "sub-X9")
    path.write_bytes(path.read_bytes()[:-200])
    report = audited(prepared)
    assert rules(report.faults) == ["unreadable-image"] and report.exit_code == 65
    assert str(path) in report.faults[0].sentence


def test_files_of_several_volumes_are_passed_over_and_counted(prepared):
    path = put(prepared, image_of(prepared, ("sub-T003", "ses-M000")), "sub-X9")
    series = nibabel.Nifti1Image(np.ones((4, 4, 4, 3), np.float32), np.eye(4))
    path.write_bytes(gzip.compress(series.to_bytes()))
    report = audited(prepared)
    assert report.exit_code == 0
    assert "1 file passed over: no single volume" in report.notes[0]


def test_images_on_several_grids_are_not_compared_by_what_they_show(prepared):
    path = put(prepared, image_of(prepared, ("sub-T003", "ses-M000")), "sub-X9", noise=0.05)
    image = images.read(path)
    images.write(path, image.voxels, affine=image.affine + np.diag([0.5, 0, 0, 0]))
    report = audited(prepared)
    assert report.warnings == ()
    assert "on several grids: desc-Tiny_T1w" in report.notes[0]


def test_few_participants_are_not_compared_by_what_they_show(caps_of, tmp_path):
    (note,) = audited(caps_of(tmp_path / "few", n_participants=5)).notes
    assert "too few participants: desc-Tiny_T1w" in note


# What is refused


def test_nothing_to_audit_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="empty"):
        audited(tmp_path / "empty")
    with pytest.raises(MissingInputError, match="nowhere"):
        audited(tmp_path / "nowhere")
    with pytest.raises((UsageError, ValueError), match="nothing to check"):
        audited()


def test_what_is_there_is_not_overwritten_and_nothing_is_read(prepared_once, tmp_path, monkeypatch):
    (tmp_path / "found.json").write_text("{}")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "mine.png").write_text("")
    for said in ({"json_file": tmp_path / "found.json"}, {"pictures": tmp_path / "pictures"}):
        with pytest.raises(OutputError):
            audited(prepared_once, **said)
    monkeypatch.setattr(pairs, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="report"):
        audited(prepared_once, pictures=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_damaged_maps_is_named(trained):
    names.record(trained).write_text("{")
    with pytest.raises(ClinicaDLError, match="maps.json") as refused:
        audited(trained)
    assert refused.value.exit_code == 65


def test_an_audit_changes_nothing(trained, prepared):
    def everything() -> dict[Path, bytes]:
        return {
            path: path.read_bytes()
            for home in (trained, prepared)
            for path in home.rglob("*")
            if path.is_file()
        }

    before = everything()
    audited(trained, prepared)
    assert everything() == before


@pytest.mark.data
def test_the_one_person_who_is_twice_in_ixi_is_found_and_nobody_else(real_data, tmp_path):
    report = audited(real_data / "ixi-caps-4mm", pictures=tmp_path / "pictures")
    (finding,) = report.warnings
    assert (report.leaks, report.faults) == ((), ())
    (pair,) = finding.pairs
    assert {pair.one[0], pair.other[0]} == {"sub-IXI383", "sub-IXI384"}
    assert (tmp_path / "pictures" / "pairs-1.png").is_file()
