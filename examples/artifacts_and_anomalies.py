"""Find artefacts, and anomalies nobody was shown, on real brains whose truth is known."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from ixi_sex import DATA, HERE, SUFFIX, copy_caps, run
from numpy.typing import NDArray

from clinicadl.layouts import images
from clinicadl.statistics.intervals import interval, jackknife, resampled
from clinicadl.statistics.ranking import weighted_auc

SAME_PERSON = "sub-IXI384"
"""Who is sub-IXI383 as well, as ``clinicadl audit`` says."""
ARTIFACTS = ("motion", "ghosting", "spikes", "bias_field", "blur", "contrast", "noise")
CENTRES_MM = ((-46, -62, 34), (46, -62, 34), (0, -54, 28), (-58, -40, -12), (58, -40, -12))
"""Near both angular gyri, the posterior cingulate and both inferior temporal gyri, in MNI space."""
RADIUS_MM = 14.0
EPOCHS = {"Conv4_FC3": 20, "Vanilla3DdenseVAE": 80}


def area(
    is_positive: NDArray[np.bool_], scores: NDArray[np.float64], people: NDArray[np.int64]
) -> dict[str, float]:
    """Return the area under the ROC curve with its 95 % interval, participants drawn as a whole."""

    def of_draws(times: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"AUC": weighted_auc(is_positive, scores, times[:, people])}

    n_people = int(people.max()) + 1
    found = resampled(of_draws, n_people, seed=0)
    value, drawn = found.values["AUC"], found.of_resamples["AUC"]
    limits = interval(value, drawn, jackknife(of_draws, n_people)["AUC"])
    return {"AUC": value, "low": limits.low, "high": limits.high}


def find_artifact(folder: Path, name: str, severity: int) -> list[dict[str, object]]:
    """Train a network to tell spoilt from untouched images; judge it on other participants."""
    source, caps, maps = folder / "caps", folder / f"{name}-{severity}", folder / f"maps-{name}"
    run(
        f"clinicadl generate artifacts {source} {caps} --preprocessing custom -cn {SUFFIX} "
        f"--{name} --severity {severity} --share 0.5 --keep_background "
        f"--participants_tsv {source}/labels.tsv"
    )
    run(f"clinicadl tsvtools split {caps}/data.tsv --subset_name test --n_test 40")
    run(f"clinicadl tsvtools split {caps}/split/train.tsv --n_test 20 --p_age_threshold 0.5")
    run(f"clinicadl prepare-data image {caps} custom --custom_suffix {SUFFIX} -ej spoilt")
    run(
        f"clinicadl train classification {caps} spoilt {caps}/split/split {maps} "
        f"-d untouched {name[:3]} --architecture Conv4_FC3 --epochs {EPOCHS['Conv4_FC3']} "
        "--learning_rate 2e-4"
    )
    run(
        f"clinicadl predict {maps} test --caps_directory {caps} "
        f"--participants_tsv {caps}/split/test_baseline.tsv"
    )
    said = pd.read_csv(
        maps / "split-0/best-loss/test/test_image_level_prediction.tsv", sep="\t"
    ).set_index("participant_id")
    table = pd.read_csv(caps / "data.tsv", sep="\t").set_index("participant_id")
    is_spoilt = table["diagnosis"] != "untouched"
    sharp = pd.Series({one: sharpness(caps, one) for one in table.index})
    # Whether blurred or sharp is suspicious is learnt from the others as well.
    others = table.index.difference(said.index)
    turn = np.sign(
        sharp[others][is_spoilt[others]].mean() - sharp[others][~is_spoilt[others]].mean()
    )
    scores = {"Conv4_FC3": said["proba0"], "sharpness alone": turn * sharp[said.index]}
    truth, people = is_spoilt[said.index].to_numpy(), np.arange(len(said))
    return [
        {
            "artefact": name,
            "severity": severity,
            "score": kind,
            **area(truth, one.to_numpy(), people),
        }
        for kind, one in scores.items()
    ]


def sharpness(caps: Path, participant: str) -> float:
    """Return the mean slope of the intensities in the brain, relative to their mean."""
    voxels = images.read(next(caps.glob(f"subjects/{participant}/*/custom/*{SUFFIX}"))).voxels
    brain = voxels > 0
    slope = np.sqrt(sum(one**2 for one in np.gradient(voxels)))
    return float(slope[brain].mean() / voxels[brain].mean())


def find_anomaly(folder: Path, degrees: list[int]) -> list[dict[str, object]]:
    """Train an autoencoder on untouched images, and look for dark regions by its errors."""
    caps, maps = folder / "caps", folder / "autoencoder"
    run(
        f"clinicadl tsvtools split {caps}/labels.tsv --subset_name test --n_test 40 "
        "--stratify-by sex"
    )
    run(
        f"clinicadl tsvtools split {caps}/split/train.tsv --n_test 20 --stratify-by sex "
        "--p_age_threshold 0.5"
    )
    run(f"clinicadl prepare-data image {caps} custom --custom_suffix {SUFFIX} -ej whole")
    run(
        f"clinicadl train reconstruction {caps} whole {caps}/split/split {maps} "
        f"--architecture Vanilla3DdenseVAE --epochs {EPOCHS['Vanilla3DdenseVAE']} "
        "--batch_size 4 --learning_rate 1e-3"
    )
    test = caps / "split/test_baseline.tsv"
    n_test = len(pd.read_csv(test, sep="\t"))
    run(
        f"clinicadl predict {maps} untouched --caps_directory {caps} --participants_tsv {test} "
        "--save_nifti"
    )
    inside = write_mask(folder / "mask.nii.gz", next(caps.glob(f"subjects/*/*/custom/*{SUFFIX}")))
    rows: list[dict[str, object]] = []
    for degree in degrees:
        lowered = folder / f"lowered-{degree}"
        run(
            f"clinicadl generate hypometabolic {caps} {lowered} --preprocessing custom "
            f"-cn {SUFFIX} --participants_tsv {test} --n_subjects {n_test} "
            f"--mask {folder}/mask.nii.gz --anomaly_degree {degree} --sigma 1"
        )
        run(f"clinicadl prepare-data image {lowered} custom --custom_suffix {SUFFIX} -ej whole")
        run(
            f"clinicadl predict {maps} lowered{degree} --caps_directory {lowered} "
            f"--participants_tsv {lowered}/data.tsv --save_nifti"
        )
        both = pd.concat(scores_of(maps, one, inside) for one in ("untouched", f"lowered{degree}"))
        truth = np.repeat([False, True], n_test)
        people = both.index.factorize()[0]
        judged = partial(area, truth, people=people)
        rows += [
            {"lowered by, %": degree, "score": name, **judged(values.to_numpy())}
            for name, values in both.items()
        ]
    return rows


def write_mask(path: Path, like: Path) -> NDArray[np.bool_]:
    """Write the mask of the spheres on the grid of an image, and return it."""
    image = images.read(like)
    voxel = np.indices(image.voxels.shape).reshape(3, -1)
    place = (image.affine[:3, :3] @ voxel).T + image.affine[:3, 3]
    nearest = np.min([np.linalg.norm(place - one, axis=1) for one in CENTRES_MM], axis=0)
    inside: NDArray[np.bool_] = (nearest <= RADIUS_MM).reshape(image.voxels.shape)
    images.write(path, inside.astype(np.uint8), affine=image.affine, header=image.header)
    return inside


def scores_of(maps: Path, group: str, inside: NDArray[np.bool_]) -> pd.DataFrame:
    """Return what may betray a dark region, one row a participant; more is more suspicious."""
    rows = {}
    for path in sorted((maps / "split-0/best-loss" / group / "nifti_images").glob("*_input.*")):
        given = images.read(path).voxels
        made = images.read(path.with_name(path.name.replace("_input", "_output"))).voxels
        squared, brain = (given - made) ** 2, given > 0
        rows[path.name.split("_")[0]] = {
            "squared error, whole image": squared.mean(),
            "squared error, region": squared[inside].mean(),
            "darker than made, region": (made - given)[inside].mean(),
            "no network: darkness, region": -given[inside].mean() / given[brain].mean(),
        }
    return pd.DataFrame(rows).T


def main() -> int:
    """Run both experiments and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="CAPS of the scans")
    parser.add_argument("--folder", type=Path, default=HERE / "anomalies", help="where to work")
    parser.add_argument("--artifacts", nargs="*", choices=ARTIFACTS, default=ARTIFACTS)
    parser.add_argument("--severity", type=int, default=1)
    parser.add_argument("--degrees", type=int, nargs="*", default=[10, 30])
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"The scans are not here: {arguments.data}")
        return 66
    if arguments.folder.exists():
        print(f"There is something at {arguments.folder}: remove it, or give another --folder")
        return 73
    people = copy_caps(arguments.data, arguments.folder)
    people = people[people["participant_id"] != SAME_PERSON]
    people.to_csv(arguments.folder / "caps/labels.tsv", sep="\t", index=False)
    tables = []
    if arguments.artifacts:
        found = [find_artifact(arguments.folder, name, arguments.severity)
                 for name in arguments.artifacts]  # fmt: skip
        tables.append([row for rows in found for row in rows])
    if arguments.degrees:
        tables.append(find_anomaly(arguments.folder, arguments.degrees))
    for table in tables:
        print(pd.DataFrame(table).round(3).to_string(index=False), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
