"""prepare-data as jobs: the commands, and that nothing differs from one run."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from clinicadl import PrepareConfig, jobs, prepare_data
from clinicadl.cli.main import root
from clinicadl.config.mode import MODES
from clinicadl.config.read import settings
from clinicadl.data import shards
from clinicadl.errors import (
    ClinicaDLError,
    InvalidDataError,
    MissingExtraError,
    OutputError,
    PartialError,
    UsageError,
)

pytest.importorskip("submitit", reason='pip install "clinicadl[slurm]"')

SUFFIX = "desc-Tiny_T1w.nii.gz"
CUSTOM = {"name": "custom", "custom_suffix": SUFFIX}


@pytest.fixture
def caps(prepared):
    """A CAPS without tensors."""
    for folder in prepared.glob("subjects/*/*/deeplearning_prepare_data"):
        shutil.rmtree(folder)
    shutil.rmtree(prepared / "tensor_extraction")
    return prepared


def config(caps, **said):
    return settings(
        PrepareConfig,
        {
            "caps_directory": caps,
            "preprocessing": CUSTOM,
            "extract_json": "tiny",
            "jobs": {"submit": "local"},
            "n_shards": 2,
            "n_proc": 1,
            **said,
        },
    )


def words(caps, *more):
    return ["prepare-data", "image", str(caps), "custom", "-cn", SUFFIX, "-ej", "tiny",
            "-np", "1", "--submit", "local", "--n_shards", "2", *more]  # fmt: skip


def image(caps, participant):
    return caps / f"subjects/{participant}/ses-M000/custom/{participant}_ses-M000_{SUFFIX}"


def outputs(caps):
    """Return what a preparation makes, without the logs of jobs."""
    return {
        str(path.relative_to(caps)): path.read_bytes()
        for folder in (*caps.rglob("deeplearning_prepare_data"), caps / "tensor_extraction")
        for path in folder.rglob("*")
        if path.is_file() and "tiny_jobs" not in path.parts
    }


def started(caps, *more):
    """Start the command in a process group of its own; return it once a shard runs."""
    running = subprocess.Popen(
        [sys.executable, "-m", "clinicadl", *words(caps, *more)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while running.poll() is None:
        for process in psutil.Process(running.pid).children(recursive=True):
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if "clinicadl" in line and "2/2" in line:
                return running, process
    raise AssertionError(running.communicate())


def ends(process: psutil.Process) -> bool:
    """Wait until a process has ended, at most ten seconds."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    over, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    return bool(over)


ROWS = [
    {},
    {"save_features": True, "mode": {"name": "patch", "patch_size": 8, "pad": True}},
    {"mode": {"name": "slice", "slice_mode": "single", "discarded_slices": [3, 4]}},
    {"mode": {"name": "roi", "roi_list": ["a", "b-c"], "roi_custom_template": "T"}},
    {"preprocessing": {"name": "t1-linear", "use_uncropped_image": True}},
    {
        "preprocessing": {
            "name": "pet-linear",
            "tracer": "18FFDG",
            "suvr_reference_region": "pons2",
        }
    },
    {"preprocessing": {"name": "custom", "custom_suffix": "-a b*.nii"}, "n_proc": 4},
    {"participants_tsv": "some table.tsv", "participant_label": ["sub-A", "B"]},
    {"jobs": {"submit": "slurm", "slurm_option": ["slurm_partition=cpu"]}},
]


@pytest.mark.parametrize("said", ROWS, ids=lambda said: "-".join(said) or "plain")
def test_the_command_of_a_job_means_the_settings_with_a_shard(said, monkeypatch):
    from clinicadl.cli import prepare_data as group

    wanted, found = config("my caps", **said), []
    monkeypatch.setattr(group, "_prepare", lambda given, dry_run: found.append(given))
    for number, command in enumerate(shards.commands(wanted), start=1):
        assert command[:4] == [sys.executable, "-m", "clinicadl", "prepare-data"]
        root.main(args=command[3:], standalone_mode=False)
        meant = settings(PrepareConfig, found.pop())
        assert meant.shard == f"{number}/2"
        assert meant.caps_directory == Path.cwd() / "my caps"
        table = wanted.participants_tsv
        assert meant.participants_tsv == (table and Path.cwd() / table)
        unlike = {"shard", "jobs", "n_shards", "caps_directory", "participants_tsv"}
        assert meant.model_dump(exclude=unlike) == wanted.model_dump(exclude=unlike)
    assert number == 2


def test_every_mode_is_among_them():
    assert {row.get("mode", {"name": "image"})["name"] for row in ROWS} == set(MODES)


def test_jobs_make_what_one_run_makes(caps, prepared_once):
    assert prepare_data(config(caps)) == caps / "tensor_extraction" / "tiny.json"
    assert len(list(caps.rglob("*.pt"))) == 25
    for name, content in outputs(prepared_once).items():
        if name.endswith((".pt", "tiny.json")):
            assert outputs(caps)[name] == content
    assert outputs(caps).keys() == outputs(prepared_once).keys()


def test_the_command_says_the_jobs_their_logs_and_how_far_they_are(caps, invoke):
    code, said, shown = invoke(*words(caps))
    assert code == 0
    first, second, last = said.splitlines()
    logs = caps / "tensor_extraction" / "tiny_jobs" / "1"
    assert first.startswith("2 jobs: ")
    assert second == f"logs: {logs}"
    assert last == f"extraction JSON: {caps / 'tensor_extraction' / 'tiny.json'}"
    assert "prepare-data: 2/2" in shown
    told = [log.read_text() for log in logs.glob("*.out")]
    assert sum("tensors written" in text for text in told) == 2


def test_images_that_cannot_be_used_are_told_by_the_exit_code_and_in_tables(caps, invoke):
    paths = [image(caps, participant) for participant in ("sub-T003", "sub-T004")]
    content = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_bytes(b"no image")
    code, said, shown = invoke(*words(caps))
    assert code == 3
    assert "extraction JSON: " in said
    assert "2 of 25 images were skipped" in shown
    tables = list((caps / "tensor_extraction").glob("tiny_shard-*of2_failed.tsv"))
    assert tables
    assert all(str(table) in shown for table in tables)
    rows = [row for table in tables for row in table.read_text().splitlines()[1:]]
    assert sorted(row.split("\t")[0] for row in rows) == ["sub-T003", "sub-T004"]
    assert len(list(caps.rglob("*.pt"))) == 23
    for path, mended in zip(paths, content, strict=True):
        path.write_bytes(mended)
    prepare_data(config(caps))
    assert len(list(caps.rglob("*.pt"))) == 25
    assert not list((caps / "tensor_extraction").glob("*_failed.tsv"))


def test_a_job_without_any_usable_image_does_not_spoil_the_others(caps):
    for participant in ("sub-T001", "sub-T003"):
        image(caps, participant).write_bytes(b"no image")
    # The first job gets the first and the third.
    people = ("sub-T001", "sub-T002", "sub-T003")
    with pytest.raises(PartialError, match="2 of 3"):
        prepare_data(config(caps, participant_label=people))
    assert len(list(caps.rglob("*.pt"))) == 1


def test_no_usable_image_at_all_is_invalid_data(caps, invoke):
    for path in caps.rglob("*.nii.gz"):
        path.write_bytes(b"")
    code, said, shown = invoke(*words(caps))
    assert code == 65
    assert "None of the 25 images" in shown
    assert "extraction JSON" not in said


def test_a_shard_that_is_killed_is_named_with_its_log_and_a_second_run_completes(
    caps, prepared_once
):
    running, shard = started(caps)
    shard.kill()
    _, shown = running.communicate()
    assert running.returncode == 1, shown
    (line,) = (line for line in shown.splitlines() if line.startswith("clinicadl: "))
    assert "1 of 2 jobs died, the first being shard 2/2" in line
    assert "killed by signal 9" in line
    log = line.partition("its log is in ")[2].partition(" (found")[0]
    assert Path(log).is_file()
    assert "Traceback" not in shown
    n_done = len(list(caps.rglob("*.pt")))
    assert n_done < 25
    prepare_data(config(caps))
    assert outputs(caps).keys() == outputs(prepared_once).keys()
    assert len(list(caps.rglob("*.pt"))) == 25


@pytest.mark.parametrize("whom", ["all", "the command alone"])
def test_ctrl_c_ends_every_job_and_a_second_run_completes(caps, prepared_once, whom):
    running, _ = started(caps)
    processes = psutil.Process(running.pid).children(recursive=True)
    if whom == "all":
        # As a terminal does it.
        os.killpg(running.pid, signal.SIGINT)
    else:
        running.send_signal(signal.SIGINT)
    _, shown = running.communicate()
    assert running.returncode == 130, shown
    assert shown.count("clinicadl: interrupted") == 1
    assert all(ends(process) for process in processes)
    assert len(list(caps.rglob("*.pt"))) < 25
    prepare_data(config(caps))
    assert outputs(caps).keys() == outputs(prepared_once).keys()


def test_a_job_that_meets_an_error_passes_its_kind_and_its_words_on(caps, monkeypatch):
    # The disk fills up for the second job.
    code = "import sys; print('clinicadl: No space', file=sys.stderr); sys.exit(73)"
    commands = shards.commands(config(caps))
    commands[1] = [sys.executable, "-c", code]
    monkeypatch.setattr(shards, "commands", lambda config: commands)
    with pytest.raises(OutputError, match=r"shard 2/2.*exit code 73.*clinicadl: No space"):
        prepare_data(config(caps))


def test_an_error_of_a_job_is_not_taken_for_bad_images(caps, monkeypatch):
    table = caps / "tensor_extraction" / "tiny_shard-2of2_failed.tsv"
    table.parent.mkdir()
    table.write_text("participant_id\tsession_id\treason\nsub-T001\tses-M000\tof an earlier run\n")
    commands = shards.commands(config(caps))
    commands[1] = [sys.executable, "-c", "import sys; sys.exit(65)"]
    monkeypatch.setattr(shards, "commands", lambda config: commands)
    with pytest.raises(InvalidDataError, match="1 of 2 jobs died"):
        prepare_data(config(caps))
    assert not table.exists()


def test_a_job_that_is_killed_late_is_not_taken_for_done(caps, monkeypatch):
    table = caps / "tensor_extraction" / "tiny_shard-2of2_failed.tsv"
    commands = shards.commands(config(caps))
    code = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).touch(); os.kill(os.getpid(), 9)"
    commands[1] = [sys.executable, "-c", code, str(table)]
    monkeypatch.setattr(shards, "commands", lambda config: commands)
    with pytest.raises(ClinicaDLError, match="1 of 2 jobs died"):
        prepare_data(config(caps))


def listing(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("said", "kind", "complaint"),
    [
        ({"n_shards": None}, UsageError, "need each other"),
        ({"jobs": {}}, UsageError, "need each other"),
        ({"jobs": {"slurm_option": ["mem_gb=8"]}}, UsageError, "without --submit"),
        ({"shard": "1/2"}, UsageError, "of its own"),
        ({"extract_json": None}, UsageError, "--extract_json"),
        ({"n_shards": 26}, UsageError, "26 jobs for 25 images"),
        ({"n_shards": 0}, UsageError, "greater than or equal to 1"),
        ({"jobs": {"submit": "local", "slurm_option": ["memory=8"]}}, UsageError, "memory"),
        ({"preprocessing": {"name": "custom", "custom_suffix": "x"}}, ClinicaDLError, "no image"),
    ],
)
def test_what_can_be_refused_is_refused_before_any_job(caps, monkeypatch, said, kind, complaint):
    monkeypatch.setattr(jobs, "submit", None)
    before = listing(caps)
    with pytest.raises(kind, match=complaint):
        prepare_data(config(caps, **said))
    assert listing(caps) == before


def test_without_slurm_there_is_one_sentence_and_no_job(caps, invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    before = listing(caps)
    line = words(caps)
    line[line.index("local")] = "slurm"
    code, _, shown = invoke(*line)
    assert code == 2
    assert "There is no Slurm on this machine" in shown
    assert shown.splitlines()[1:] == ["More: clinicadl explain usage"]
    assert listing(caps) == before


def test_without_submitit_the_extra_is_named_and_nothing_is_written(caps, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    before = listing(caps)
    with pytest.raises(MissingExtraError, match=r"clinicadl\[slurm\]"):
        prepare_data(config(caps))
    assert listing(caps) == before


def test_a_dry_run_shows_the_command_of_each_job_and_submits_none(caps, invoke):
    before = listing(caps)
    code, said, _ = invoke(*words(caps, "--dry-run"))
    assert code == 0
    shown = [line for line in said.splitlines() if line.startswith("# would submit: ")]
    assert [f"--shard {k}/2" in line for k, line in enumerate(shown, 1)] == [True, True]
    assert listing(caps) == before


def test_slurm_gets_an_array_of_shards_and_the_command_returns(caps, slurm, invoke):
    line = words(caps, "--slurm_option", "slurm_partition=cpu", "timeout_min=5")
    line[line.index("local")] = "slurm"
    code, said, _ = invoke(*line)
    assert code == 0
    logs = caps / "tensor_extraction" / "tiny_jobs" / "1"
    assert said.splitlines()[:3] == [
        "2 jobs: 77_0, 77_1", f"logs: {logs}", "state: squeue --jobs 77",
    ]  # fmt: skip
    script = (slurm / "script.sh").read_text()
    for option in ("--array=0-1%2", "--partition=cpu", "--time=5", "--cpus-per-task=1",
                   "--job-name=prepare-data-tiny"):  # fmt: skip
        assert f"#SBATCH {option}\n" in script
    from submitit.core.utils import DelayedSubmission

    for number, command in enumerate(shards.commands(config(caps))):
        held = DelayedSubmission.load(logs / f"77_{number}_submitted.pkl")
        assert held.function is subprocess.check_call
        assert held.args == (command,)
    assert not list(caps.rglob("*.pt"))


def test_the_function_submits_to_slurm_as_well(caps, slurm):
    extraction = prepare_data(config(caps, jobs={"submit": "slurm"}))
    assert extraction == caps / "tensor_extraction" / "tiny.json"
    assert "--array=0-1%2" in (slurm / "script.sh").read_text()
