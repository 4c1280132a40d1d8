"""A mode of another package goes the whole way, and the laws catch one that is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import torch

from clinicadl.errors import ClinicaDLError
from clinicadl.layouts import images

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = "desc-Tiny_T1w.nii.gz"
SETTINGS = """
    from typing import ClassVar, Literal

    from clinicadl.config.base import Choice, setting


    class SlabMode(Choice):
        \"\"\"Thick slabs across the last axis.\"\"\"

        builds: ClassVar[str] = "lab_slabs_parts:slabs"
        name: Literal["slab"] = "slab"
        thickness: int = setting(8, "Thickness of a slab", unit="voxels", short="th", ge=1)
    """
BUILDER = """
    from clinicadl.data.parts import Parts, Window
    from clinicadl.errors import UsageError


    def slabs(settings, shape):
        _, x, y, z = shape
        thick = settings.thickness
        firsts = range(0, z - thick + 1, thick)
        if not firsts:
            raise UsageError("The slab is thicker than the image", found=f"{thick} of {z} voxels")
        return Parts(
            image_shape=tuple(shape),
            windows=tuple(Window((0, 0, first), (x, y, first + thick)) for first in firsts),
            names=tuple(f"thickness-{thick}_slab-{i}" for i in range(len(firsts))),
            numbers=tuple(range(len(firsts))),
        )
    """


def install(folder: Path, modules: dict[str, str], modes: dict[str, str]) -> dict[str, str]:
    """Write a distribution as pip would, and return the environment in which it is installed."""
    about = folder / "lab_slabs-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-slabs\nVersion: 1.0\n")
    declared = "".join(f"{name} = {value}\n" for name, value in modes.items())
    (about / "entry_points.txt").write_text(f"[clinicadl.modes]\n{declared}")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(dedent(text))
    before = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(folder), *([before] if before else [])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def run(tmp_path):
    """The command line where the package of the mode is installed: returns what it said."""
    environment = install(
        tmp_path / "site",
        {"lab_slabs": SETTINGS, "lab_slabs_parts": BUILDER},
        {"slab": "lab_slabs:SlabMode"},
    )

    def call(*arguments: object, code: int = 0, installed: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "clinicadl", *map(str, arguments)],
            capture_output=True, text=True, check=False, env=environment if installed else None,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return call


def read(maps: Path, group: str, level: str) -> pd.DataFrame:
    table = f"split-0/best-loss/{group}/{group}_{level}_level_prediction.tsv"
    return pd.read_csv(maps / table, sep="\t")


@pytest.mark.slow
def test_a_mode_of_another_package_goes_the_whole_way(run, prepared, tmp_path):
    custom = ("custom", "--custom_suffix", SUFFIX, "-np", 2)
    said = run("prepare-data", "--help")
    assert re.search(r"slab +Thick slabs across the last axis\.", said)
    said = run("prepare-data", "slab", "--help")
    assert re.search(r"-th, --thickness INTEGER RANGE\s+Thickness of a slab \[voxels\]", said)
    assert "--patch-size" not in said

    said = run("prepare-data", "slab", prepared, *custom, "--thickness", 5, "-ej", "slabs")
    assert "0 tensors written, 25 were there already" in said
    content = json.loads((prepared / "tensor_extraction/slabs.json").read_text())
    assert (content["mode"], content["thickness"], content["prepare_dl"]) == ("slab", 5, False)

    run("prepare-data", "slab", prepared, *custom, "-th", 5, "--save_features", "-ej", "stored")
    for image in sorted(prepared.glob(f"subjects/*/*/custom/*_{SUFFIX}")):
        home = image.parents[1] / "deeplearning_prepare_data/slab_based/custom"
        voxels = images.read(image).voxels
        name = image.name.removesuffix("_T1w.nii.gz")
        assert len([*home.glob("*.pt")]) == 3
        for number in range(3):
            stored = torch.load(home / f"{name}_thickness-5_slab-{number}_T1w.pt")
            by_hand = voxels[np.newaxis, :, :, 5 * number : 5 * number + 5]
            np.testing.assert_array_equal(stored.numpy(), by_hand)

    run("prepare-data", "preview", prepared, "slabs", tmp_path / "look.png", "--n_samples", 2)
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")

    for name in ("slabs", "stored"):
        run(
            "train", "classification", prepared, name, prepared / "split/2_fold", tmp_path / name,
            "--n_splits", 2, "--split", 0, "-a", "Conv4_FC3", "--epochs", 1, "--no-gpu",
        )  # fmt: skip
    record = json.loads((tmp_path / "slabs/maps.json").read_text())
    assert record["input_shape"] == [1, 18, 20, 5]
    weights = "split-0/best-loss/model.safetensors"
    cut, stored = ((tmp_path / name / weights).read_bytes() for name in ("slabs", "stored"))
    assert cut == stored

    table = prepared / "split/test_baseline.tsv"
    group = ("--caps_directory", prepared, "--participants_tsv", table, "--no-gpu")
    run("predict", tmp_path / "slabs", "test", *group)
    for name in ("train", "validation", "test"):
        of_parts = read(tmp_path / "slabs", name, "slab")
        whole = read(tmp_path / "slabs", name, "image")
        numbers = of_parts.groupby(["participant_id", "session_id"])["slab_id"].apply(list)
        assert all(found == [0, 1, 2] for found in numbers)
        assert len(of_parts) == 3 * len(whole)
    # Whoever has not the package is told so.
    said = run("predict", tmp_path / "slabs", "other", *group, code=65, installed=False)
    assert "mode is not known" in said
    assert "found: slab" in said
    assert "the package that declares it" in said


WRONG = """
    from typing import ClassVar, Literal

    from clinicadl.config.base import Choice, setting


    class Outside(Choice):
        builds: ClassVar[str] = "wrong_parts:outside"
        name: Literal["outside"] = "outside"


    class Before(Choice):
        builds: ClassVar[str] = "wrong_parts:before"
        name: Literal["before"] = "before"


    class Unstable(Choice):
        builds: ClassVar[str] = "wrong_parts:unstable"
        name: Literal["unstable"] = "unstable"


    class Twice(Choice):
        builds: ClassVar[str] = "wrong_parts:twice"
        name: Literal["twice"] = "twice"


    class Unnamed(Choice):
        builds: ClassVar[str] = "wrong_parts:unnamed"
        name: Literal["unnamed"] = "unnamed"


    class Nothing(Choice):
        builds: ClassVar[str] = "wrong_parts:nothing"
        name: Literal["nothing"] = "nothing"


    class Taken(Choice):
        builds: ClassVar[str] = "lab_slabs_parts:slabs"
        name: Literal["taken"] = "taken"
        thickness: int = setting(8, "Thickness")
        tracer: str = setting("none", "A key of the JSON, and a flag, of pet-linear")
        shape: str = setting("box", "A short flag that is taken", short="np")


    class Hyphened(Choice):
        builds: ClassVar[str] = "lab_slabs_parts:slabs"
        name: Literal["thick_slab"] = "thick_slab"
        thickness: int = setting(8, "Thickness")
    """
HEAVY = """
    from typing import ClassVar, Literal

    import numpy

    from clinicadl.config.base import Choice, setting


    class Heavy(Choice):
        builds: ClassVar[str] = "lab_slabs_parts:slabs"
        name: Literal["heavy"] = "heavy"
        thickness: int = setting(8, "Thickness")
    """
WRONG_BUILDERS = """
    from clinicadl.data.parts import Parts, Window
    from clinicadl.errors import UsageError


    def halves(shape, mode, firsts):
        _, x, y, z = shape
        windows = tuple(Window((first, 0, 0), (first + x // 2, y, z)) for first in firsts)
        names = tuple(f"{mode}-{i}" for i in range(len(firsts)))
        return Parts(tuple(shape), windows, names, tuple(range(len(firsts))))


    def outside(settings, shape):
        return halves(shape, "outside", [0, 1 + shape[1] // 2 + shape[1] % 2])


    def before(settings, shape):
        return halves(shape, "before", [-1, 0])


    def unstable(settings, shape):
        firsts = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "sixth": 5}
        return halves(shape, "unstable", [firsts[name] for name in set(firsts)])


    def twice(settings, shape):
        return halves(shape, "twice", [0, 1, 0])


    def unnamed(settings, shape):
        found = halves(shape, "unnamed", [0, 1])
        return Parts(found.image_shape, found.windows, ("left/1", "right/1"), found.numbers)


    def nothing(settings, shape):
        raise UsageError("There is no such part")
    """
EXPECTED = {
    "outside": "test_parts_lie_inside_the_image_in_a_stable_order",
    "before": "test_parts_lie_inside_the_image_in_a_stable_order",
    "unstable": "test_the_order_is_the_same_in_every_process",
    "twice": "test_no_part_comes_twice",
    "unnamed": "test_names_can_stand_in_file_names",
    "nothing": "test_a_mode_has_parts_of_some_image",
    "taken": "test_settings_come_back_from_the_extraction_json",
    "thick_slab": "test_a_mode_has_a_name_that_can_stand_everywhere",
    "heavy": "test_the_settings_of_a_mode_start_at_once",
}


@pytest.mark.slow
def test_the_laws_hold_of_a_good_mode_and_catch_each_that_is_wrong(tmp_path):
    wrong = {name: f"wrong:{name.capitalize()}" for name in EXPECTED}
    wrong |= {"thick_slab": "wrong:Hyphened", "heavy": "heavy:Heavy"}
    environment = install(
        tmp_path / "site",
        {
            "lab_slabs": SETTINGS,
            "lab_slabs_parts": BUILDER,
            "wrong": WRONG,
            "wrong_parts": WRONG_BUILDERS,
            "heavy": HEAVY,
        },
        {"slab": "lab_slabs:SlabMode", **wrong},
    )
    chosen = " or ".join(["slab", *wrong])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfEp", "-p", "no:cacheprovider", "-k", chosen,
         "tests/laws/test_modes.py"],
        capture_output=True, text=True, check=False, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    said = re.findall(r"^(PASSED|FAILED|ERROR) \S*::(\w+)\[([a-z_]+)", done.stdout, re.MULTILINE)
    held = {(name, law) for outcome, law, name in said if outcome == "PASSED"}
    broken = {(name, law) for outcome, law, name in said if outcome != "PASSED"}
    assert {name for name, _ in broken} == set(EXPECTED)
    for name, law in EXPECTED.items():
        assert (name, law) in broken
    # A mode that is right breaks none, and each law holds of something.
    assert {law for name, law in held if name == "slab"} == {law for _, law in held | broken}
    taken = {law for name, law in broken if name == "taken"}
    assert "test_a_mode_has_a_command_whose_flags_are_its_own" in taken


@pytest.mark.parametrize(
    ("windows", "names", "numbers", "wrong"),
    [
        ([], [], [], "there is none"),
        ([(0, -1, 0)], ["a"], [0], "begins outside"),
        ([(0, 5, 0)], ["a"], [0], "begins outside"),
        ([(0, 0, 0), (1, 0, 0)], ["a", "a"], [0, 1], "same name"),
        ([(0, 0, 0), (1, 0, 0)], ["a", "b"], [0, 0], "same number"),
    ],
)
def test_parts_that_cannot_be_are_refused_before_they_become_zeros(
    monkeypatch, windows, names, numbers, wrong
):
    from clinicadl.config.base import Choice
    from clinicadl.data import parts
    from clinicadl.data.parts import Parts, Window

    def build(self, shape):
        boxes = tuple(Window(at, tuple(one + 2 for one in at)) for at in windows)
        return Parts(shape, boxes, tuple(names), tuple(numbers))

    class Wrong(Choice):
        builds = "lab:wrong"
        name: str = "wrong"

    monkeypatch.setattr(Wrong, "build", build)
    with pytest.raises(ClinicaDLError, match=rf"mode wrong.*{wrong}.*lab:wrong.*4x5x6.*Mend"):
        parts.of(Wrong(), (1, 4, 5, 6))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("nowhere:SlabMode", "declares cannot be loaded.*No module named 'nowhere'"),
        ("lab_slabs:Slabs", "declares cannot be loaded.*no attribute 'Slabs'"),
        ("lab_slabs:Choice", "is no row of the table.*whose name is slab by default"),
        ("lab_slabs:setting", "is no row of the table"),
    ],
)
def test_a_package_that_declares_nonsense_is_named(tmp_path, value, complaint):
    environment = install(tmp_path / "site", {"lab_slabs": SETTINGS}, {"slab": value})
    done = subprocess.run(
        [sys.executable, "-m", "clinicadl", "prepare-data", "--help"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 2
    assert re.search(f"package lab-slabs.*{complaint}", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
