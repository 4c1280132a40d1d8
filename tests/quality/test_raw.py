"""The check of raw images: its tables, its exit codes, and what it says of real scans."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from clinicadl import (
    LabelsConfig,
    RawQualityConfig,
    get_labels,
    quality_check_raw,
)
from clinicadl.draws import generator
from clinicadl.errors import MissingInputError, OutputError, PartialError, UsageError
from clinicadl.layouts import images
from clinicadl.quality import raw, raw_facts

AFFINE = np.array([[-5.0, 0, 0, 80], [0, 5, 0, -90], [0, 0, 5, -80], [0, 0, 0, 1]])
SUMMARY = [
    "4 images checked, 2 with an error",
    "  error unreadable: 1 (sub-2_ses-M000_T1w.nii.gz). Copy the file again, or convert it again.",
    "  error blank-slices: 1 (sub-3_ses-M012_FLAIR.nii.gz). Slices inside of the head were lost: "
    "convert it again.",
    "2 of 4 sessions pass: {}",
]


def head(number):
    draw = generator(8, "head", sample=number)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (32, 36, 32)), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    waves = np.sin(8 * x + draw.uniform(0, 6)) * np.sin(7 * y + draw.uniform(0, 6))
    values = (radius < 0.9) * (600 + 300 * waves + 200 * z) + draw.normal(0, 5, radius.shape)
    return np.clip(values, 0, None).astype(np.int16)


def write(home, participant, session, suffix, voxels):
    stem = f"{participant}_{session}_{suffix}"
    path = home / participant / session / "anat" / f"{stem}.nii.gz"
    header = nib.Nifti1Header()
    header.set_xyzt_units("mm")
    images.write(path, voxels, affine=AFFINE, header=header)
    return path


@pytest.fixture
def bids(tmp_path):
    """Four sessions: one has a truncated T1w, another a FLAIR that lost slices."""
    home = tmp_path / "bids"
    write(home, "sub-1", "ses-M000", "T1w", head(1))
    path = write(home, "sub-2", "ses-M000", "T1w", head(2))
    path.write_bytes(path.read_bytes()[:3000])
    write(home, "sub-3", "ses-M000", "T1w", head(3))
    lost = head(4)
    lost[:, 15:17] = 0
    write(home, "sub-3", "ses-M012", "FLAIR", lost)
    return home


def config(bids, **settings):
    basic = {"bids_directory": bids, "output_tsv": bids.parent / "raw.tsv", "n_proc": 1}
    return RawQualityConfig(**{**basic, **settings})


def table(path):
    return pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)


def test_the_tables_say_which_sessions_pass_and_why_not(bids):
    path = quality_check_raw(config(bids))
    assert table(path).to_numpy().tolist() == [
        ["sub-1", "ses-M000", "1", "n/a", "n/a", "True"],
        ["sub-2", "ses-M000", "1", "unreadable", "n/a", "False"],
        ["sub-3", "ses-M000", "1", "n/a", "n/a", "True"],
        ["sub-3", "ses-M012", "1", "blank-slices", "n/a", "False"],
    ]
    found = table(path.with_name("raw_findings.tsv"))
    assert found["file"].tolist() == [
        "sub-2/ses-M000/anat/sub-2_ses-M000_T1w.nii.gz",
        "sub-3/ses-M012/anat/sub-3_ses-M012_FLAIR.nii.gz",
    ]
    assert found["found"][0].startswith("The image is truncated or damaged")
    assert found["found"][1] == "2 across y"
    of_images = table(path.with_name("raw_images.tsv")).set_index("participant_id")
    assert of_images.loc["sub-1", "shape"] == "32x36x32"
    assert of_images.loc["sub-1", "orientation"] == "LAS"
    assert of_images.loc["sub-2", "shape"] == "n/a"


def test_processes_and_shards_say_the_same(bids, caplog):
    path = quality_check_raw(config(bids))
    names = [path.name, "raw_findings.tsv", "raw_images.tsv"]
    before = [path.with_name(name).read_bytes() for name in names]
    quality_check_raw(config(bids, n_proc=2, overwrite=True))
    assert [path.with_name(name).read_bytes() for name in names] == before
    shards = [
        quality_check_raw(config(bids, shard=f"{k}/2", output_tsv=bids.parent / f"{k}.tsv"))
        for k in (1, 2)
    ]
    rows = pd.concat([table(one) for one in shards]).sort_values(["participant_id", "session_id"])
    assert rows.to_numpy().tolist() == table(path).to_numpy().tolist()
    assert "within a shard only" in caplog.text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"modality": ["flair"]}, ["sub-3 ses-M012"]),
        ({"modality": ["t1"]}, ["sub-1 ses-M000", "sub-2 ses-M000", "sub-3 ses-M000"]),
        ({"participant_label": ["3"]}, ["sub-3 ses-M000", "sub-3 ses-M012"]),
    ],
)
def test_images_and_people_can_be_chosen(bids, settings, expected):
    made = table(quality_check_raw(config(bids, **settings)))
    assert (made["participant_id"] + " " + made["session_id"]).tolist() == expected


def test_a_table_of_sessions_chooses_and_names_those_without_images(bids, caplog):
    path = bids.parent / "some.tsv"
    path.write_text("participant_id\tsession_id\nsub-3\tses-M012\nsub-9\tses-M000\n")
    made = table(quality_check_raw(config(bids, participants_tsv=path)))
    assert made["session_id"].tolist() == ["ses-M012"]
    assert "1 of 2 sessions have no image to check: sub-9 | ses-M000" in caplog.text


def test_what_could_not_be_looked_at_neither_passes_nor_fails(bids):
    path = next((bids / "sub-1").rglob("*.nii.gz"))
    path.unlink()
    path.symlink_to(bids / "gone")
    with pytest.raises(PartialError, match="1 of 4 images could not be looked at"):
        quality_check_raw(config(bids))
    made = table(bids.parent / "raw.tsv").set_index("participant_id")
    assert made.loc["sub-1"].tolist() == ["ses-M000", "0", "n/a", "n/a", "n/a"]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"output_tsv": "raw.txt"}, UsageError, r"\.tsv"),
        ({"ignore": ["sheard"]}, UsageError, "sheard.*nearest.*sheared"),
        ({"fail": ["clip"]}, UsageError, "clip.*nearest.*clipped"),
        ({"modality": ["t1w", "bold"]}, MissingInputError, "images that end in FLAIR, T1w"),
        ({"participant_label": ["7"]}, MissingInputError, "sub-7"),
        ({"shard": "5/5"}, MissingInputError, "None of these sessions"),
    ],
)
def test_what_can_be_refused_is_refused_before_anything_is_written(bids, settings, error, words):
    before = sorted(bids.parent.iterdir())
    with pytest.raises(error, match=words):
        quality_check_raw(config(bids, **settings))
    assert sorted(bids.parent.iterdir()) == before


def test_numbers_beyond_single_precision_and_two_runs_of_a_visit_are_no_news(bids):
    huge = head(6).astype(np.float64)
    huge[3, 3, 3] = 1e300
    write(bids, "sub-6", "ses-M000", "T1w", huge)
    draw = generator(1, "run").normal(0, 3, head(7).shape)
    write(bids, "sub-7", "ses-M000", "run-1_T1w", head(7))
    write(bids, "sub-7", "ses-M000", "run-2_T1w", head(7) + draw)
    made = table(quality_check_raw(config(bids, participant_label=["6", "7"])))
    assert made["pass"].tolist() == ["True", "True"]
    assert made["warnings"].tolist() == ["n/a", "n/a"]


def test_of_several_volumes_the_mean_is_judged(tmp_path):
    draw = generator(1, "volumes").normal(0, 200, (*head(8).shape, 40))
    volumes = np.clip(head(8)[..., None] + draw, 0, None).astype(np.int16)
    paths = []
    for name, values in (("all", volumes), ("first", volumes[..., 0]),
                         ("mean", volumes.mean(axis=-1, dtype=np.float32))):  # fmt: skip
        paths.append(tmp_path / f"{name}.nii")
        images.write(paths[-1], values, affine=AFFINE)
    every, first, mean = (raw_facts.read(path) for path in paths)
    assert every.shape == volumes.shape
    assert (every.low, every.high) == (volumes.min(), volumes.max())
    assert every.looks.contrast_to_noise == pytest.approx(mean.looks.contrast_to_noise, rel=1e-4)
    assert every.looks.contrast_to_noise > 10 > 2 * first.looks.contrast_to_noise
    np.testing.assert_allclose(every.looks.picture, mean.looks.picture, atol=1e-4)


def test_any_of_the_tables_that_is_there_is_not_replaced(bids):
    (bids.parent / "raw_images.tsv").write_text("mine")
    with pytest.raises(OutputError, match="raw_images"):
        quality_check_raw(config(bids))
    quality_check_raw(config(bids, overwrite=True))
    assert (bids.parent / "raw_images.tsv").read_text() != "mine"


def test_the_command_says_what_it_found_and_ends_well(bids, invoke):
    output = bids.parent / "raw.tsv"
    code, said, _ = invoke("quality-check", "raw", bids, output, "--dry-run")
    assert code == 0
    assert said.count("# would read:") == 4
    assert not output.exists()
    code, said, _ = invoke("quality-check", "raw", bids, output, "-np", 1)
    assert code == 0
    assert said.splitlines()[:-1] == [line.format(output) for line in SUMMARY]
    assert invoke("quality-check", "raw", bids, output)[0] == 73
    assert invoke("quality_check", "raw", bids / "sub-1", output)[0] == 65
    (bids / "sub-1" / "ses-M000" / "anat" / "sub-1_ses-M000_T2w.nii.gz").symlink_to("gone")
    assert invoke("quality-check", "raw", bids, output, "--overwrite")[0] == 3


def test_labels_leave_out_what_fails_and_the_record_says_why(bids):
    path = quality_check_raw(config(bids))
    (bids / "participants.tsv").write_text(
        "participant_id\tage\tsex\nsub-1\t60\tF\nsub-2\t61\tM\nsub-3\t62\tF\n"
    )
    out = bids.parent / "labels"
    get_labels(LabelsConfig(bids_directory=bids, output_directory=out, qc_tsv=[path]))
    kept = table(out / "labels.tsv")
    assert kept["participant_id"].tolist() == ["sub-1", "sub-3"]
    excluded = table(out / "excluded.tsv").set_index("participant_id")
    assert excluded.loc["sub-2", "reason"] == "failed the quality check raw.tsv: unreadable"
    record = json.loads((out / "labels.json").read_text())
    assert record["qc_tsv"] == [str(path)]
    assert str(path) in record["tables"]


def test_the_foreground_is_that_of_a_search_through_all_limits():
    draw = generator(4, "otsu")
    for _ in range(5):
        dark, bright = draw.normal(10, 4, 4000), draw.normal(80, 15, 900)
        voxels = np.concatenate([dark, bright]).astype(np.float32)
        low, high = float(voxels.min()), float(voxels.max())
        width = (high - low) / 256
        limits = low + width * np.arange(1, 256)
        within = []
        for limit in limits:
            # By the centres of bins, as the method is defined on a histogram.
            levels = np.minimum((voxels - low) // width, 255)
            below = levels < round((limit - low) / width)
            within.append(
                below.mean() * levels[below].var() + (~below).mean() * levels[~below].var()
            )
        best = limits[int(np.argmin(within))]
        assert raw_facts.foreground(voxels) == pytest.approx(best, abs=1.01 * width)


def test_values_are_known_again_in_any_order_and_type_and_hardly_by_chance(tmp_path):
    voxels = head(5)
    keys = {}
    for name, other in {
        "same": voxels, "float": voxels.astype(np.float32), "turned": voxels.transpose(1, 0, 2),
        "mirrored": voxels[::-1], "one more": voxels + (np.indices(voxels.shape).sum(0) == 0),
        "swapped": np.where(voxels == 600, 601, voxels),
    }.items():  # fmt: skip
        path = tmp_path / f"{name}.nii"
        images.write(path, other, affine=AFFINE)
        keys[name] = raw_facts.read(path).looks.values
    assert len({keys[name] for name in ("same", "float", "turned", "mirrored")}) == 1
    assert keys["one more"] != keys["same"] != keys["swapped"]


REAL = ("ixi-bids-2mm", "open-ms-bids", "forrest-bids")


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_nothing_is_wrong_with_real_scans(real_data, tmp_path, name):
    planned = raw.plan(
        RawQualityConfig(bids_directory=real_data / name, output_tsv=tmp_path / "raw.tsv", n_proc=1)
    )
    verdict = raw.judged(planned, raw.look(planned))
    assert len(verdict.seen) == len(planned.files) >= 1
    assert verdict.findings == ()


@pytest.mark.data
@pytest.mark.parametrize(("name", "n"), [("bids-layouts/pet002", 8), ("bids-layouts/dlbs", 174)])
def test_files_that_are_no_images_are_unreadable_all_of_them(real_data, tmp_path, name, n):
    path = quality_check_raw(
        RawQualityConfig(bids_directory=real_data / name, output_tsv=tmp_path / "raw.tsv", n_proc=1)
    )
    assert table(path.with_name("raw_findings.tsv"))["check"].tolist() == ["unreadable"] * n
    assert {*table(path)["pass"]} == {"False"}


@pytest.mark.data
def test_real_scans_that_are_spoilt_are_found(real_data, tmp_path):
    home = tmp_path / "bids"
    people = sorted((real_data / "ixi-bids-2mm").glob("sub-*"))[:8]
    for person in people:
        shutil.copytree(person, home / person.name)
    paths = [next(home.rglob(f"{person.name}_*_T1w.nii.gz")) for person in people]
    real = [images.read(path) for path in paths]
    draw = generator(2, "spoilt")

    def again(number, voxels, affine=None):
        where = real[number].affine if affine is None else affine
        images.write(paths[number], voxels, affine=where, header=real[number].header)

    top = float(np.percentile(real[0].voxels[real[0].voxels > 0], 97))
    again(0, np.minimum(real[0].voxels, top).astype(np.uint8))
    again(1, real[0].voxels[::-1].astype(np.uint8), real[0].affine)
    again(2, (0.31 * real[3].voxels + draw.normal(0, 0.5, real[3].voxels.shape)).astype(np.float32),
          real[3].affine)  # fmt: skip
    again(4, real[5].voxels.astype(np.int16), real[5].affine)
    lost = real[6].voxels.astype(np.uint8)
    lost[:, :, 60] = 0
    again(6, lost)
    noisy = real[7].voxels + draw.normal(0, 60, real[7].voxels.shape)
    again(7, np.clip(noisy, 0, None).astype(np.int16))
    planned = raw.plan(
        RawQualityConfig(bids_directory=home, output_tsv=tmp_path / "raw.tsv", n_proc=1)
    )
    found = {}
    for one in raw.judged(planned, raw.look(planned)).findings:
        number = [person.name for person in people].index(one.seen.file.participant)
        found.setdefault(number, set()).add(one.check)
    assert found == {
        0: {"clipped", "mirrored"}, 1: {"mirrored"}, 2: {"near-duplicate"}, 3: {"near-duplicate"},
        4: {"duplicate"}, 5: {"duplicate"}, 6: {"blank-slices"}, 7: {"noisy"},
    }  # fmt: skip
