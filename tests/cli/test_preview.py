"""``clinicadl prepare-data preview``: flags and files, what it says and writes, how it ends."""

import tomllib

import pytest

from clinicadl.config.preview import PreviewConfig
from clinicadl.config.read import settings
from clinicadl.report.preview import preview

NOISE = ("-da", "Noise", "Flip")


@pytest.fixture
def run(invoke, prepared):
    """The command on the tiny CAPS."""

    def call(*more):
        return invoke(
            "prepare-data", "preview", prepared, "tiny", prepared / "a.png", "--n_samples", 1, *more
        )

    return call


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_and_the_function_draw_the_same(run, prepared):
    code, said, _ = run(*NOISE, "--seed", 3, "--epoch", 2)
    assert code == 0
    assert f"picture: {prepared / 'a.png'}" in said
    given = {
        "caps_directory": prepared, "preprocessing_json": "tiny", "n_samples": 1, "epoch": 2,
        "transforms": {"augmentation": ("Noise", "Flip")}, "reproducibility": {"seed": 3},
    }  # fmt: skip
    preview(settings(PreviewConfig, {**given, "output_png": prepared / "b.png"}))
    assert (prepared / "a.png").read_bytes() == (prepared / "b.png").read_bytes()


@pytest.mark.parametrize(
    "flags",
    [
        ("--unnormalize",),
        ("--normalization", "z-score"),
        NOISE,
        ("--n_samples", "2"),
        ("-tsv", "table"),
    ],
)
def test_each_flag_changes_the_picture(run, prepared, flags):
    (prepared / "table.tsv").write_text("participant_id\tsession_id\nsub-T005\tses-M000\n")
    run()
    plain = (prepared / "a.png").read_bytes()
    flags = [prepared / "table.tsv" if flag == "table" else flag for flag in flags]
    code, _, shown = run(*flags, "--overwrite")
    assert code == 0, shown
    assert (prepared / "a.png").read_bytes() != plain


def test_an_experiment_gives_its_transforms_and_its_seed_and_flags_win(run, prepared):
    toml = prepared / "experiment.toml"
    toml.write_text(
        "[transforms]\nnormalization = {name = 'z-score'}\n"
        "[[transforms.augmentation]]\nname = 'Noise'\nstd = 0.4\n"
        "[reproducibility]\nseed = 7\n[optimization]\nepochs = 3\n"
    )
    code, said, _ = run("-c", toml, "--dry-run")
    assert code == 0
    read = tomllib.loads(said)
    assert read["transforms"]["normalization"]["name"] == "z-score"
    assert read["transforms"]["augmentation"] == [{"name": "Noise", "p": 1.0, "std": 0.4}]
    assert read["reproducibility"]["seed"] == 7
    _, said, _ = run("-c", toml, "--dry-run", "--seed", 8, "--normalization", "min-max")
    read = tomllib.loads(said)
    assert read["reproducibility"]["seed"] == 8
    assert read["transforms"]["normalization"]["name"] == "min-max"
    assert read["transforms"]["augmentation"][0]["std"] == 0.4


def test_a_wrong_file_is_named(run, prepared):
    toml = prepared / "experiment.toml"
    toml.write_text("[transforms]\nnormalise = true\n")
    code, _, shown = run("-c", toml)
    assert code == 65
    assert "experiment.toml, transforms.normalise" in shown
    assert not (prepared / "a.png").exists()


def test_a_dry_run_writes_nothing_and_says_what_it_would(run, prepared):
    before = files(prepared)
    code, said, _ = run("--dry-run")
    assert code == 0
    assert files(prepared) == before
    (read,) = [line for line in said.splitlines() if line.startswith("# would read:")]
    assert read.endswith("sub-T000_ses-M000_desc-Tiny_T1w.pt")
    assert f"# would write: {prepared / 'a.png'}" in said
    assert tomllib.loads(said)["n_samples"] == 1


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--epoch", "1"), 2),
        (("--n_samples", "0"), 2),
        (("-da", "Nois"), 2),
        (("--size_reduction",), 2),
        (("-tsv", "nowhere.tsv"), 66),
        (("-c", "nowhere.toml"), 66),
    ],
)
def test_what_cannot_be_is_refused_in_both(run, prepared, flags, code, dry):
    before = files(prepared)
    found, said, shown = run(*flags, *dry)
    assert found == code
    assert said == ""
    assert shown
    assert files(prepared) == before


def test_an_existing_picture_is_refused(run):
    assert run()[0] == 0
    code, _, shown = run()
    assert code == 73
    assert "exists already" in shown
    assert run("--overwrite")[0] == 0
