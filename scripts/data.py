"""The reference data sets: stages of ``dvc.yaml`` that are not commands, and their comparison.

``reproduce`` makes all stages in a fresh folder, without a cache, and names every file that is not
what ``dvc.lock`` and ``dvc.files.tsv`` say; ``--write`` takes what was made for the new truth.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from hashlib import md5
from pathlib import Path
from runpy import run_path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOCK, FILES = "dvc.lock", "dvc.files.tsv"
TAKEN = ("dvc.yaml", ".dvc/config", ".dvcignore", "scripts/data.py", "tests/conftest.py")
"""What the stages read of the repository, besides the installed package."""
HEADER = "stage\tpath\tmd5"
N_EPOCHS = 3
"""Epochs whose order of samples is kept."""


class File(NamedTuple):
    """One file of a data set."""

    stage: str
    path: str
    md5: str


def tiny(folder: Path) -> None:
    """Write the CAPS that the tests make, by the very function that makes it for them."""
    run_path(str(ROOT / "tests" / "conftest.py"))["make_caps"](folder)


def portable(maps: Path, folder: Path) -> None:
    """Write what a training has in common on all machines.

    Parameters
    ----------
    maps
        What was trained.
    folder
        Gets who is in which group, the order of the samples of the first epochs, and the SHA-256
        of each first weight.
    """
    from clinicadl.engine import loop, one_split
    from clinicadl.engine.plan import plan
    from clinicadl.layouts.maps import folder as maps_folder
    from clinicadl.layouts.maps import names

    planned = plan(maps_folder.open_maps(maps).record.config)
    for table in sorted(names.groups(maps).rglob("*.tsv")):
        target = folder / "groups" / table.relative_to(names.groups(maps))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table, target)
    order, weights = ["split\tepoch\tbatch\tsamples"], ["split\tname\tshape\tsha256"]
    for one in planned.splits:
        training = one_split._training(planned, one, maps)
        for epoch in range(N_EPOCHS):
            for number, batch in enumerate(loop.in_order(training, epoch, (None,))):
                order.append(f"{one.number}\t{epoch}\t{number}\t{' '.join(map(str, batch))}")
        network = one_split.first_network(planned, training.purpose("weights", None), one.number)
        weights += [f"{one.number}\t{row}" for row in _weights(network.state_dict())]
    (folder / "order.tsv").write_text("\n".join(order) + "\n")
    (folder / "first_weights.tsv").write_text("\n".join(weights) + "\n")


def _weights(tensors: Mapping[str, Any]) -> Iterator[str]:
    from hashlib import sha256

    for name, tensor in tensors.items():
        array = tensor.detach().contiguous().numpy()
        yield f"{name}\t{'x'.join(map(str, array.shape))}\t{sha256(array.tobytes()).hexdigest()}"


def read_lock(path: Path) -> dict[str, tuple[str, str]]:
    """Return the outputs of a lock file: path -> (stage, MD5)."""
    import yaml

    stages = yaml.safe_load(path.read_text())["stages"]
    return {
        out["path"]: (stage, out["md5"])
        for stage, content in stages.items()
        for out in content["outs"]
    }


def read_files(path: Path) -> list[File]:
    """Return the table of all files.

    Raises
    ------
    ValueError
        It is no such table.
    """
    header, *rows = path.read_text().splitlines()
    if header != HEADER:
        raise ValueError(f"{path} does not begin with the line {HEADER!r}")
    return [File(*row.split("\t")) for row in rows]


def files_made(folder: Path) -> list[File]:
    """Return the files of all outputs of a reproduction, as DVC saw them."""
    made = []
    for path, (stage, digest) in read_lock(folder / LOCK).items():
        if not digest.endswith(".dir"):
            made.append(File(stage, path, digest))
            continue
        listing = folder / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
        rows = json.loads(listing.read_text())
        made += [File(stage, f"{path}/{row['relpath']}", row["md5"]) for row in rows]
    return sorted(made)


def of_folder(path: str, files: Sequence[File]) -> str:
    """Return the MD5 that DVC gives to a folder, from the table of all files."""
    rows = [
        {"md5": one.md5, "relpath": one.path.removeprefix(f"{path}/")}
        for one in files
        if one.path.startswith(f"{path}/")
    ]
    rows.sort(key=lambda row: row["relpath"])
    return md5(json.dumps(rows, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def disagreements(lock: Path, files: Sequence[File]) -> list[str]:
    """Return the outputs of a lock file that the table of all files does not add up to."""
    single = {one.path: one.md5 for one in files}
    wrong = []
    for path, (stage, digest) in read_lock(lock).items():
        said = f"{of_folder(path, files)}.dir" if digest.endswith(".dir") else single.get(path)
        if said != digest:
            wrong.append(f"stage {stage}: {path}: {LOCK} and {FILES} do not agree")
    return wrong


def differences(expected: Sequence[File], made: Sequence[File]) -> list[str]:
    """Return one line for each file that is not as expected, with its stage."""
    before = {(one.stage, one.path): one.md5 for one in expected}
    now = {(one.stage, one.path): one.md5 for one in made}
    said = {
        "is not made any more": before.keys() - now.keys(),
        "is new": now.keys() - before.keys(),
        "changed": {key for key in before.keys() & now.keys() if before[key] != now[key]},
    }
    return sorted(f"stage {stage}: {path} {what}" for what in said for stage, path in said[what])


def make(folder: Path) -> None:
    """Run all stages in an empty folder, without a cache.

    Raises
    ------
    SystemExit
        A stage failed; with the exit code of DVC.
    """
    for name in TAKEN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "tmp" / "site"),
    }
    command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
    code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    if code:
        sys.exit(code)


def reproduce(*, is_new: bool) -> int:
    """Make all stages, and compare or replace what is known; return the exit code."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make(folder)
        made = files_made(folder)
        if is_new:
            shutil.copyfile(folder / LOCK, ROOT / LOCK)
            rows = "".join("\t".join(one) + "\n" for one in made)
            (ROOT / FILES).write_text(f"{HEADER}\n{rows}")
    known = read_files(ROOT / FILES)
    wrong = [*disagreements(ROOT / LOCK, known), *differences(known, made)]
    for line in wrong:
        print(line)
    n_stages = len({one.stage for one in made})
    print(f"{n_stages} stages, {len(made)} files: {len(wrong) or 'no'} differences")
    return 1 if wrong else 0


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    below = parser.add_subparsers(dest="what", required=True)
    below.add_parser("tiny").add_argument("folder", type=Path)
    of_training = below.add_parser("portable")
    of_training.add_argument("maps", type=Path)
    of_training.add_argument("folder", type=Path)
    below.add_parser("reproduce").add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.what == "tiny":
        tiny(given.folder)
    elif given.what == "portable":
        portable(given.maps, given.folder)
    else:
        sys.exit(reproduce(is_new=given.write))


if __name__ == "__main__":
    main()
