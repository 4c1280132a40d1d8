"""From raw images to a report, by the command line: who fails a check is left out, and named."""

from __future__ import annotations

import html

import nibabel as nib
import numpy as np

from clinicadl.draws import generator

GRID = (40, 44, 40)
"""Small enough for an epoch in a second, large enough for four poolings."""
AFFINE = np.array([[-5.0, 0, 0, 97], [0, 5, 0, -107], [0, 0, 5, -97], [0, 0, 0, 1]])


def head(number: int, is_dark: bool) -> np.ndarray:
    draw = generator(6, "raw to report", sample=number)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID), indexing="ij")
    radius = x**2 + y**2 + z**2
    waves = np.sin(7 * x + draw.uniform(0, 6)) * np.sin(6 * y + draw.uniform(0, 6))
    values = (radius < 0.9) * (600 + 250 * waves + 150 * z) * np.where(is_dark & (x < 0), 0.6, 1)
    return np.clip(values + draw.normal(0, 8, GRID), 0, None).astype(np.int16)


def make_bids(home):
    """Write sixteen people; one file is cut off, and two people have one scan."""
    rows = ["participant_id\tage\tsex\tdiagnosis"]
    for number in range(16):
        name, is_ad = f"sub-{number:02d}", bool(number % 2)
        image = nib.Nifti1Image(head(14 if number == 10 else number, is_ad), AFFINE)
        image.header.set_xyzt_units("mm")
        path = home / name / "ses-M000" / "anat" / f"{name}_ses-M000_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(image, path)
        if number == 3:
            path.write_bytes(path.read_bytes()[:5000])
        rows.append(f"{name}\t{60 + number}\t{'FM'[number // 2 % 2]}\t{'AD' if is_ad else 'CN'}")
    (home / "participants.tsv").write_text("\n".join(rows) + "\n")
    return home


def test_who_fails_the_check_of_raw_images_is_named_in_the_report(tmp_path, invoke):
    bids = make_bids(tmp_path / "bids")
    raw, labels = tmp_path / "raw.tsv", tmp_path / "labels"
    caps, maps = tmp_path / "caps", tmp_path / "maps"
    commands = [
        ["quality-check", "raw", bids, raw, "-np", 1],
        ["tsvtools", "get-labels", bids, labels, "--qc", raw],
        ["tsvtools", "split", labels / "labels.tsv", "--n_test", 4, "--ignore_demographics"],
        ["prepare-data-from-bids", "image", bids, caps, "t1", "-ej", "t1", "-np", 1,
         "-tsv", labels / "labels.tsv"],
        ["train", "classification", caps, "t1", labels / "split", maps, "--epochs", 1, "-np", 0,
         "--batch-size", 4, "--no-gpu", "--architecture", "Conv4_FC3"],
        ["report", maps],
    ]  # fmt: skip
    for words in commands:
        code, said, complaint = invoke(*words)
        assert code == 0, (words, said, complaint)
    page = html.unescape((maps / "report.html").read_text())
    assert (
        "2 sessions: failed the quality check raw.tsv: duplicate (sub-10 | ses-M000, "
        "sub-14 | ses-M000)" in page
    )
    assert "1 session: failed the quality check raw.tsv: unreadable (sub-03 | ses-M000)" in page
    assert "images<b>13</b>participants, 13 sessions" in page
