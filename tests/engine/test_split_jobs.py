"""Splits as jobs: the same bits, what the jobs are told, what is refused, what is left."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from clinicadl import jobs, resume, show_maps, train
from clinicadl.config.jobs import JobsConfig
from clinicadl.engine import devices, need, split_jobs
from clinicadl.engine import train as training
from clinicadl.errors import (
    CannotResumeError,
    ClinicaDLError,
    LeakageError,
    MissingExtraError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts.maps import folder, names

pytest.importorskip("submitit", reason='pip install "clinicadl[slurm]"')

LOCAL, SLURM = JobsConfig(submit="local"), JobsConfig(submit="slurm")
BOTH = {"n_splits": 2, "split": []}


def words(caps, maps, *more):
    return ["train", "classification", str(caps), "tiny", str(caps / "split/2_fold"), str(maps),
            "--n_splits", "2", "-a", "Conv4_FC3", "--dropout", "0.3", "--epochs", "3",
            "--batch_size", "4", "-lr", "1e-3", "-sm", "loss", "BA", "-np", "0", "--no-gpu",
            *more]  # fmt: skip


def listing(path):
    return sorted(str(one) for one in path.rglob("*"))


@pytest.fixture(scope="module")
def in_sequence(prepared_once, config_of, tmp_path_factory):
    """A MAPS whose two splits one process trained; nobody writes to it."""
    maps = tmp_path_factory.mktemp("sequence") / "maps"
    train(config_of(prepared_once, validation=BOTH), maps)
    return maps


def options(slurm):
    rows = (slurm / "script.sh").read_text().splitlines()
    pairs = (row.removeprefix("#SBATCH --").partition("=") for row in rows if "#SBATCH" in row)
    return {key: value for key, _, value in pairs}


def test_two_jobs_at_once_give_the_bits_of_a_sequence_and_of_each_alone(
    prepared_once, config_of, in_sequence, tmp_path, same_bits, bits_of
):
    train(config_of(prepared_once, validation=BOTH), tmp_path / "maps", jobs=LOCAL)
    same_bits(tmp_path / "maps", in_sequence)
    for number in (0, 1):
        alone = tmp_path / f"alone-{number}"
        train(config_of(prepared_once, validation={"split": [number]}), alone)
        ours, both = bits_of(alone), bits_of(tmp_path / "maps")
        assert ours
        assert ours == {name: both[name] for name in both if name.startswith(f"split-{number}/")}
    assert not [*(tmp_path / "maps").rglob(".partial-*")]
    logs = sorted(path.name for path in names.jobs(tmp_path / "maps").rglob("*_log.err"))
    assert len(logs) == 2
    record = folder.open_maps(tmp_path / "maps").record
    assert record.resolved == folder.open_maps(in_sequence).record.resolved


def test_the_command_says_what_it_does_and_the_jobs_go_on_from_its_maps(
    prepared_once, in_sequence, tmp_path, same_bits, invoke
):
    maps = tmp_path / "maps"
    code, said, shown = invoke(*words(prepared_once, maps, "--submit", "local"))
    assert code == 0, shown
    lines = said.splitlines()
    assert lines[0].startswith("2 jobs: ")
    assert lines[1:] == [f"logs: {maps / 'jobs' / '1'}", f"MAPS: {maps}"]
    assert shown.splitlines()[-1] == "train: 2/2"
    same_bits(maps, in_sequence)
    code, said, _ = invoke("train", "resume", maps, "--submit", "local")
    assert (code, said) == (0, f"MAPS: {maps}\n")
    assert not (maps / "jobs" / "2").exists()


def test_resume_submits_what_is_left(
    prepared_once, config_of, trained, in_sequence, same_bits, tmp_path
):
    resume(trained, splits=(0, 1), jobs=LOCAL)
    same_bits(trained, in_sequence)
    assert len([*names.jobs(trained).rglob("*_log.err")]) == 1


def started(command):
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "clinicadl", *command], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def job_of(running, split):
    """Return the process that trains a split, once it has evaluated an epoch."""
    while running.poll() is None:
        for process in psutil.Process(running.pid).children(recursive=True):
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if line[-2:] == ["--split", str(split)] and "env" not in line:
                return process
    raise AssertionError(running.communicate())


def wait_for(path, running):
    while not path.exists():
        assert running.poll() is None, running.communicate()


def test_a_job_that_is_killed_is_named_and_resume_goes_on_with_it(
    prepared_once, in_sequence, tmp_path, same_bits
):
    maps = tmp_path / "maps"
    running = started(words(prepared_once, maps, "--submit", "local"))
    job = job_of(running, 1)
    wait_for(names.checkpoint(maps, 1), running)
    job.send_signal(signal.SIGKILL)
    _, shown = running.communicate()
    assert running.returncode == 1
    (line,) = (line for line in shown.splitlines() if line.startswith("clinicadl: "))
    assert "1 of 2 jobs failed, the first being that of split 1" in line
    assert "killed by signal 9" in line
    assert f"clinicadl train resume {maps}" in line
    assert Path(line.partition("its log is in ")[2].partition(" (found")[0]).is_file()
    assert not folder.is_unfinished(maps, 0)
    assert folder.is_unfinished(maps, 1)
    resume(maps)
    same_bits(maps, in_sequence)


def test_ctrl_c_ends_the_jobs_and_resume_goes_on(prepared_once, in_sequence, tmp_path, same_bits):
    maps = tmp_path / "maps"
    running = started(words(prepared_once, maps, "--submit", "local"))
    job = job_of(running, 0)
    wait_for(names.checkpoint(maps, 0), running)
    running.send_signal(signal.SIGINT)
    _, shown = running.communicate()
    assert running.returncode == 130, shown
    psutil.wait_procs([job], timeout=10)
    assert not job.is_running()
    resume(maps)
    same_bits(maps, in_sequence)


def test_a_job_passes_its_kind_and_its_words_on(prepared_once, config_of, tmp_path, monkeypatch):
    said = "clinicadl: No space\\nMore: clinicadl explain output-exists"
    code = f"import sys; print('{said}', file=sys.stderr); sys.exit(73)"
    monkeypatch.setattr(
        split_jobs, "commands",
        lambda *given: [[sys.executable, "-c", "pass"], [sys.executable, "-c", code]],
    )  # fmt: skip
    config = config_of(prepared_once, validation=BOTH)
    with pytest.raises(OutputError, match=r"split 1.*exit code 73.*clinicadl: No space"):
        train(config, tmp_path / "maps", jobs=LOCAL)


def test_several_splits_run_at_once_and_the_page_says_so(
    prepared_once, config_of, in_sequence, tmp_path, same_bits
):
    """The one begins the other in the middle of its epoch; neither is in the other's way."""
    from clinicadl.engine.events import BatchDone

    maps, said = tmp_path / "maps", []
    leftovers = [
        maps / "groups" / ".partial-0-1-test",
        maps / ".partial-0-1-emissions.csv",
        maps / "split-1" / "best-loss" / ".partial-0-1-train" / "x",
    ]

    def inner(event):
        if isinstance(event, BatchDone) and event.epoch == 1 and not said:
            said.append(show_maps(maps))
            # What this process is just writing, as the other one is to leave it.
            ours = maps / "split-0" / ".partial-0-2-mine"
            ours.touch()
            for path in leftovers:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            resume(maps, splits=(1,), observers=[page])
            assert ours.exists()
            ours.unlink()

    def page(event):
        if isinstance(event, BatchDone) and event.epoch == 2:
            said.append(show_maps(maps))

    train(config_of(prepared_once), maps, observers=[inner])
    first, both = said[0], said[-1]
    rows = [" ".join(line.split()) for line in both.splitlines()]
    assert [line for line in rows if line.startswith("split 0 running, epoch 0 of 0-2")]
    assert [line for line in rows if line.startswith("split 1 running, epoch 1 of 0-2")]
    assert "split 1  not trained" in first
    assert not any(path.exists() for path in leftovers)
    same_bits(maps, in_sequence)


def test_a_split_that_another_process_trains_is_refused_before_others_are_trained(trained, capfd):
    with folder.shared(trained), folder.training(trained, 1):
        with pytest.raises(OutputError, match=r"Another process.*split 1.*--split"):
            resume(trained, splits=(0, 1))
        with pytest.raises(OutputError, match="split 1"):
            resume(trained, splits=(1,), jobs=LOCAL)
    assert not names.jobs(trained).exists()


def test_a_split_that_was_finished_meanwhile_is_left_alone(
    trained, prepared_once, config_of, monkeypatch
):
    """Another process ends it between our plan and our turn."""
    from clinicadl.engine import train as engine

    planned = training.planned_for(config_of(prepared_once), JobsConfig())
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*.safetensors")}
    engine.train_splits(planned, trained, (0,), ())
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*.safetensors")}
    assert not folder.is_unfinished(trained, 0)


def test_predict_wants_the_maps_alone(trained):
    for first, second in ((folder.shared, folder.held), (folder.held, folder.shared)):
        with first(trained), pytest.raises(OutputError, match="Another process"), second(trained):
            pass
    with folder.shared(trained), folder.shared(trained):
        pass


def test_slurm_gets_an_array_and_the_command_returns(prepared_once, tmp_path, slurm, invoke):
    from submitit.core.utils import DelayedSubmission

    maps = tmp_path / "maps"
    line = words(prepared_once, maps, "--submit", "slurm", "--slurm_option", "slurm_partition=cpu",
                 "timeout_min=600", "cpus_per_task=7")  # fmt: skip
    code, said, shown = invoke(*line)
    assert code == 0, shown
    logs = maps / "jobs" / "1"
    assert said.splitlines() == [
        "2 jobs: 77_0, 77_1",
        f"logs: {logs}",
        f"MAPS: {maps}",
        f"state: squeue --jobs 77, clinicadl maps show {maps}",
        f"when they are over, for what failed: clinicadl train resume {maps}",
    ]
    given = options(slurm)
    expected = {"array": "0-1%2", "partition": "cpu", "time": "600", "cpus-per-task": "7",
                "job-name": "train-maps", "mem": "1GB"}  # fmt: skip
    assert {key: given.get(key) for key in expected} == expected
    assert not any("gpu" in key for key in given)
    for number in (0, 1):
        held = DelayedSubmission.load(logs / f"77_{number}_submitted.pkl")
        assert held.function is subprocess.check_call
        assert held.args[0] == ["env", "OMP_NUM_THREADS=7", sys.executable, "-m", "clinicadl",
                                "train", "resume", str(maps), "--split", str(number)]  # fmt: skip
    record = folder.open_maps(maps).record
    assert record.resolved["threads"] == 7
    assert "jobs" not in record.config.model_dump()
    assert "not trained" in show_maps(maps)
    assert torch.get_num_threads() == 1, "it is not this process that computes"


def test_what_jobs_need_is_what_the_plan_found(prepared_once, config_of, monkeypatch):
    planned = training.planned_for(config_of(prepared_once), JobsConfig())
    needs = split_jobs._needs(SLURM, planned, Path("here/maps"))
    assert needs == {"name": "train-maps", "mem_gb": 1, "cpus_per_task": 1}
    from dataclasses import replace

    large = replace(planned.needed, weights=5 * 2**30)
    needs = split_jobs._needs(SLURM, replace(planned, needed=large), Path("maps"))
    assert needs["mem_gb"] == 6
    on_gpu = replace(planned, device=replace(planned.device, torch_device=torch.device("cuda")))
    assert split_jobs._needs(SLURM, on_gpu, Path("maps")).items() >= {
        ("gpus_per_node", 1),
        ("cpus_per_task", 1),  # no process reads ahead
    }


@pytest.mark.parametrize(
    ("option", "left_out"),
    [
        ("slurm_mem=3G", "mem_gb"),
        ("slurm_mem_per_cpu=1G", "mem_gb"),
        ("slurm_cpus_per_gpu=4", "cpus_per_task"),
        ("slurm_gres=gpu:a100:1", "gpus_per_node"),
        ("slurm_additional_parameters=gres=gpu:2", "gpus_per_node"),
        ("slurm_additional_parameters=mem-per-cpu=1G", "mem_gb"),
        ("slurm_mem_per_gpu=1G", "mem_gb"),
    ],
)
def test_an_option_wins_over_what_the_jobs_need_in_whatever_words(option, left_out):
    defaults = {"name": "x", "mem_gb": 2, "cpus_per_task": 3, "gpus_per_node": 1}
    settings = JobsConfig(submit="slurm", slurm_option=(option,))
    assert defaults.keys() - jobs._unsaid(defaults, settings) == {left_out}


ON_GPU = {"gpu": True, "amp": "bf16", "n_proc": None}


@pytest.mark.parametrize("last", [None, True])
def test_a_gpu_is_asked_for_where_this_machine_has_none(
    prepared_once, config_of, tmp_path, slurm, monkeypatch, last
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = config_of(prepared_once, compute={**ON_GPU, "channels_last": last})
    train(config, tmp_path / "maps", jobs=SLURM)
    given = options(slurm)
    assert (given["gpus-per-node"], given["cpus-per-task"]) == ("1", "3")
    record = folder.open_maps(tmp_path / "maps").record
    assert record.config.compute == config.compute
    assert record.resolved.items() >= {("device", "cuda"), ("amp", "bf16"), ("threads", 3)}
    assert "device_name" not in record.resolved
    assert record.resolved["channels_last"] is bool(last)
    with pytest.raises(UsageError, match="no GPU"):
        resume(tmp_path / "maps")


def test_what_slurm_refuses_leaves_no_maps(prepared_once, config_of, tmp_path, slurm):
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'sbatch: invalid partition' >&2\nexit 1\n")
    with pytest.raises(UsageError, match="Slurm refused.*invalid partition"):
        train(config_of(prepared_once), tmp_path / "maps", jobs=SLURM)
    assert not (tmp_path / "maps").exists()


def test_what_slurm_refuses_leaves_a_begun_maps_as_it_was(trained, slurm):
    (slurm / "sbatch").write_text("#!/bin/bash\nexit 1\n")
    with pytest.raises(UsageError, match="Slurm refused"):
        resume(trained, splits=(1,), jobs=SLURM)
    assert (trained / "split-0" / "best-loss" / "model.safetensors").is_file()
    assert [*names.jobs(trained).iterdir()] == []


@pytest.mark.parametrize(
    ("sections", "settings", "kind", "complaint"),
    [
        ({}, {"slurm_option": ("memory=8",)}, UsageError, "memory"),
        ({"data": {"preprocessing_json": "absent"}}, {}, MissingInputError, "absent"),
        ({"network": {"name": "Conv4_FC3", "dropout": 0}, "data": {"diagnoses": ["AD"]}}, {},
         ClinicaDLError, "one class"),
    ],
)  # fmt: skip
def test_what_can_be_refused_is_refused_before_anything_is_written(
    prepared_once, config_of, tmp_path, monkeypatch, sections, settings, kind, complaint
):
    monkeypatch.setattr(jobs, "submit", None)
    with pytest.raises(kind, match=complaint):
        train(
            config_of(prepared_once, **sections), tmp_path / "maps",
            jobs=JobsConfig(submit="local", **settings),
        )  # fmt: skip
    assert [*tmp_path.iterdir()] == []


def test_a_leak_is_refused_before_there_are_jobs(prepared, config_of, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "submit", None)
    home = prepared / "split/2_fold/split-0"
    shutil.copy(home / "train.tsv", home / "validation_baseline.tsv")
    with pytest.raises(LeakageError):
        train(config_of(prepared), tmp_path / "maps", jobs=LOCAL)
    assert not (tmp_path / "maps").exists()


def test_without_slurm_or_submitit_there_is_one_sentence(
    prepared_once, tmp_path, invoke, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, shown = invoke(*words(prepared_once, tmp_path / "maps", "--submit", "slurm"))
    assert code == 2
    assert "There is no Slurm on this machine" in shown
    assert shown.splitlines()[1:] == ["More: clinicadl explain usage"]
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingExtraError):
        jobs.check(LOCAL)
    assert [*tmp_path.iterdir()] == []


def test_jobs_that_do_not_fit_together_are_refused(prepared_once, config_of, tmp_path, monkeypatch):
    one = training.planned_for(config_of(prepared_once), JobsConfig()).needed.total
    monkeypatch.setattr(need, "available", lambda device: one * 3 // 2)
    with pytest.raises(UsageError, match=r"do not fit.*2 times .*--split"):
        train(config_of(prepared_once, validation=BOTH), tmp_path / "maps", jobs=LOCAL)
    assert not (tmp_path / "maps").exists()


def test_several_processes_submit_nothing(prepared_once, config_of, monkeypatch):
    from dataclasses import replace

    planned = training.planned_for(config_of(prepared_once), JobsConfig())
    together = replace(planned.device, ranks=devices.Ranks(0, 2))
    with pytest.raises(UsageError, match="2 processes"):
        split_jobs.check(LOCAL, replace(planned, device=together), (0,))


def test_a_dry_run_shows_the_command_of_each_job_and_writes_nothing(
    prepared_once, trained, tmp_path, invoke
):
    maps = tmp_path / "new"
    code, said, _ = invoke(*words(prepared_once, maps, "--submit", "local", "--dry-run"))
    assert code == 0
    shown = [line for line in said.splitlines() if line.startswith("# would submit: ")]
    for number, line in enumerate(shown):
        expected = ["train", "resume", str(maps), "--split", str(number)]
        assert shlex.split(line.removeprefix("# would submit: "))[-5:] == expected
    assert len(shown) == 2
    assert not maps.exists()
    before = listing(trained)
    code, said, _ = invoke("train", "resume", trained, "-s", "0", "1", "--submit", "local",
                           "--dry-run")  # fmt: skip
    assert "# would go on with: split 1\n" in said
    assert said.count("# would submit: ") == 1
    assert listing(trained) == before
    code, said, _ = invoke("train", "from-maps", trained, maps, "--submit", "local", "--dry-run")
    assert said.count("# would submit: ") == 1
    assert not maps.exists()


def test_what_a_plugin_adds_is_known_to_the_jobs(prepared_once, tmp_path, clinicadl):
    (tmp_path / "my_own.py").write_text(
        "from typing import ClassVar, Literal\n"
        "from clinicadl.config.network import Conv4FC3\n"
        "class Mine(Conv4FC3):\n    name: Literal['Mine'] = 'Mine'\n"
        "NETWORKS = {'Mine': Mine}\n"
    )
    line = words(prepared_once, tmp_path / "maps", "--submit", "local", "--split", "0",
                 "--plugin", "my_own.py")  # fmt: skip
    line[line.index("Conv4_FC3")] = "Mine"
    done = clinicadl(*line, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not folder.is_unfinished(tmp_path / "maps", 0)
    assert names.selection_metrics(tmp_path / "maps", 0) == ["BA", "loss"]


def test_a_maps_of_another_release_is_not_submitted(trained):
    path = names.record(trained)
    import json

    content = json.loads(path.read_text())
    content["imported"] = {"path": "x", "format": "1.6.1", "date": "d", "settings": {}}
    path.write_text(json.dumps(content))
    with pytest.raises(CannotResumeError, match="another release"):
        resume(trained, jobs=LOCAL)
