"""What is peculiar to each tracker, and the table of emissions."""

from __future__ import annotations

import csv
import json
import socket
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from clinicadl import read_experiment, resume, train
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.engine.events import Evaluated
from clinicadl.engine.observers import emissions
from clinicadl.engine.observers.tracked import as_text, facts
from clinicadl.errors import UsageError
from clinicadl.layouts.maps import names


def needs(package):
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


def interrupted(config, maps, **given):
    def stop(event):
        if isinstance(event, Evaluated) and event.row.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, maps, observers=[stop], **given)


def client_of(uri):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def mlflow_runs(uri):
    client, found = client_of(uri), {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            found.setdefault(experiment.name, {})[run.info.run_name] = run
    return found


def own_store(maps):
    return f"sqlite:///{quote(str(names.mlflow_store(maps)))}"


RESULTS = {
    "training.tsv",
    *(
        f"best-{metric}/{name}"
        for metric in ("loss", "BA")
        for name in (
            "model.safetensors",
            "train/train_image_level_metrics.tsv",
            "validation/validation_image_level_metrics.tsv",
        )
    ),
}


def files_under(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@needs("mlflow")
def test_mlflow_has_settings_state_and_results_of_each_split_in_one_experiment(
    prepared_once, config_of, tmp_path
):
    maps = tmp_path / "maps"
    config = config_of(
        prepared_once, tracking={"track_exp": "mlflow"}, validation={"split": [0, 1]}
    )
    train(config, maps)
    found = mlflow_runs(own_store(maps))
    assert {name: sorted(runs) for name, runs in found.items()} == {
        "clinicadl-maps": ["split-0", "split-1"]
    }
    for name, run in found["clinicadl-maps"].items():
        assert run.info.status == "FINISHED"
        assert run.data.params["network.name"] == "Conv4_FC3"
        assert run.data.params["validation.split"] == "[0, 1]"
        stored = Path(run.info.artifact_uri.removeprefix("file://"))
        assert stored.is_relative_to(maps)
        assert files_under(stored) == RESULTS
        for path in RESULTS:
            place = "training_logs/training.tsv" if path == "training.tsv" else path
            assert (stored / path).read_bytes() == (maps / name / place).read_bytes()


@needs("mlflow")
def test_mlflow_takes_a_store_and_an_experiment_of_the_user_for_several_maps(
    prepared_once, config_of, tmp_path, caplog
):
    uri = f"sqlite:///{tmp_path}/lab/runs.db"
    named = {"name": "mlflow", "mlflow_uri": uri, "mlflow_experiment": "lab"}
    tracking = {"track_exp": named, "track_weights": 0}
    for maps in ("one", "other"):
        train(config_of(prepared_once, tracking=tracking), tmp_path / maps)
        assert not (tmp_path / maps / "mlruns").exists()
    client = client_of(uri)
    experiment = client.get_experiment_by_name("lab")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["clinicadl.maps"] for run in runs) == ["one", "other"]
    stored = files_under(tmp_path / "lab" / "artifacts" / runs[0].info.run_id / "artifacts")
    assert stored == {path for path in RESULTS if "safetensors" not in path}
    assert "left out" not in caplog.text


@needs("mlflow")
def test_an_interrupted_run_of_mlflow_is_killed_until_it_goes_on(
    prepared_once, config_of, tmp_path
):
    maps = tmp_path / "50%20 of ä" / "maps #1"
    interrupted(config_of(prepared_once, tracking={"track_exp": "mlflow"}), maps)
    (run,) = mlflow_runs(own_store(maps))["clinicadl-maps #1"].values()
    assert run.info.status == "KILLED"
    resume(maps)
    (again,) = mlflow_runs(own_store(maps))["clinicadl-maps #1"].values()
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")


@needs("mlflow")
def test_a_run_that_was_deleted_is_made_again_with_the_whole_history(
    prepared_once, config_of, tmp_path, caplog
):
    maps = tmp_path / "maps"
    interrupted(config_of(prepared_once, tracking={"track_exp": "mlflow"}), maps)
    (deleted,) = mlflow_runs(own_store(maps))["clinicadl-maps"].values()
    client_of(own_store(maps)).delete_run(deleted.info.run_id)
    resume(maps)
    (run,) = mlflow_runs(own_store(maps))["clinicadl-maps"].values()
    assert run.info.run_id != deleted.info.run_id
    history = client_of(own_store(maps)).get_metric_history(run.info.run_id, "loss_valid")
    assert [one.step for one in history] == [0, 1, 2]
    assert "left out" not in caplog.text


@needs("mlflow")
@pytest.mark.parametrize("uri", ["sqlite:///{}/file/runs.db", "http://127.0.0.1:1"])
def test_a_store_that_cannot_be_reached_does_not_end_the_training(
    prepared_once, config_of, tmp_path, caplog, monkeypatch, uri
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    named = {"name": "mlflow", "mlflow_uri": uri.format(tmp_path)}
    (tmp_path / "file").touch()
    train(config_of(prepared_once, tracking={"track_exp": named}), tmp_path / "maps")
    assert caplog.text.count("The tracker mlflow cannot go on") == 1
    assert (tmp_path / "maps/split-0/best-loss/train/train_image_level_metrics.tsv").is_file()


def test_a_file_of_runs_is_named_by_its_whole_path(config_of, tmp_path):
    named = {"name": "mlflow", "mlflow_uri": "sqlite:///runs.db"}
    with pytest.raises(UsageError, match="sqlite:////FOLDER/FILE in --mlflow_uri"):
        config_of(tmp_path, tracking={"track_exp": named})


@needs("wandb")
def test_wandb_has_settings_and_results_of_each_split_in_the_maps_and_no_name_of_the_machine(
    prepared_once, config_of, tmp_path
):
    maps = tmp_path / "maps"
    named = {"name": "wandb", "wandb_project": "Brains", "wandb_entity": "lab"}
    config = config_of(prepared_once, tracking={"track_exp": named}, validation={"split": [0, 1]})
    train(config, maps)
    found = {}
    for path in names.wandb_runs(maps).glob("offline-run-*/*.wandb"):
        run = next(one.run for one in _records(path) if one.WhichOneof("record_type") == "run")
        found[run.display_name] = run
        assert (run.project, run.entity, run.run_group, run.host) == ("Brains", "lab", "maps", "-")
        said = {item.key: json.loads(item.value_json) for item in run.config.update}
        assert said["network.name"] == "Conv4_FC3"
        assert said["data.caps_directory"] == "caps"
        assert files_under(path.parent / "files") == RESULTS
    assert sorted(found) == ["split-0", "split-1"]


def _records(path):
    from runpy import run_path

    laws = Path(__file__).parents[1] / "laws" / "test_trackers.py"
    return run_path(str(laws))["records"](path)


@needs("wandb")
def test_what_an_interrupted_run_of_wandb_had_said_is_not_sent_twice(
    prepared_once, config_of, tmp_path
):
    maps = tmp_path / "maps"
    interrupted(config_of(prepared_once, tracking={"track_exp": "wandb"}), maps)
    (before,) = names.wandb_runs(maps).glob("offline-run-*")
    resume(maps)
    (after,) = names.wandb_runs(maps).glob("offline-run-*")
    identity = json.loads(names.tracked_run(maps, 0, "wandb").read_text())["run"]
    assert before != after
    assert identity in before.name
    assert identity in after.name


def test_weights_are_given_up_to_a_size(prepared_once, config_of, trained_once):
    from clinicadl.engine.observers.tracked import results

    size = (trained_once / "split-0/best-loss/model.safetensors").stat().st_size
    for largest, n_weights in ((size, 2), (size - 1, 0)):
        given = [path for path, _ in results(trained_once, 0, None, largest)]
        assert sum(path.suffix == ".safetensors" for path in given) == n_weights
        assert len(given) == 5 + n_weights
    assert not [path for path in given if "prediction" in path.name]


def test_facts_are_all_settings_without_the_paths_and_the_tracker():
    data = {
        "caps_directory": Path("/data/jane/caps"),
        "preprocessing_json": "/data/jane/caps/tensor_extraction/x.json",
        "tsv_directory": Path("tables"),
        "channels": ["/data/jane/y.json"],
    }
    config = read_experiment(
        {
            "data": data,
            "task": {"name": "classification", "label_code": {"AD": 1, "CN": 0}},
            "transforms": {"augmentation": [{"name": "Noise"}]},
            "tracking": {"track_exp": {"name": "wandb", "wandb_entity": "jane"}},
        }
    )
    told = facts(config)
    assert "jane" not in json.dumps(told)
    assert told["data.preprocessing_json"] == "x.json"
    assert told["data.channels"] == ["y.json"]
    assert told["task.label_code"] == {"AD": 1, "CN": 0}
    assert told["transforms.augmentation"][0]["name"] == "Noise"
    sections = {name.partition(".")[0] for name in told}
    assert sections == set(ExperimentConfig.model_fields) - {"tracking"}
    assert (as_text("a"), as_text(1.5), as_text([1])) == ("a", "1.5", "[1]")


def emissions_of(maps):
    with names.emissions(maps).open(newline="") as table:
        return [*csv.DictReader(table)]


@needs("codecarbon")
def test_emissions_are_estimated_in_the_maps_without_a_network(
    prepared_once, config_of, trained_once, tmp_path, monkeypatch, caplog, capfd
):
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda *given: asked.append(given))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: asked.append(given))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODECARBON_EMISSIONS_ENDPOINT", "http://localhost:1")
    tracking = {"track_emissions": True, "emissions_country": "FRA"}
    train(config_of(prepared_once, tracking=tracking), tmp_path / "maps")
    (row,) = emissions_of(tmp_path / "maps")
    assert (row["project_name"], row["country_iso_code"]) == ("maps/split-0", "FRA")
    assert float(row["energy_consumed"]) > 0
    assert float(row["emissions"]) > 0
    assert float(row["duration"]) > 0
    assert asked == []
    assert "codecarbon" not in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]
    assert "left out" not in caplog.text


@needs("codecarbon")
def test_each_training_of_a_split_has_its_row(prepared_once, config_of, tmp_path):
    maps = tmp_path / "maps"
    interrupted(config_of(prepared_once, tracking={"track_emissions": True}), maps)
    before = emissions_of(maps)
    assert len(before) == 1
    resume(maps)
    assert emissions_of(maps)[:1] == before
    assert len({row["run_id"] for row in emissions_of(maps)}) == len(emissions_of(maps)) == 2


def test_trainings_at_the_same_time_keep_each_others_rows(tmp_path):
    path = tmp_path / "emissions.csv"
    first, second = emissions._Table(path), emissions._Table(path)
    for table, run, energy in (
        (first, "a", 1), (second, "b", 2), (first, "a", 3), (second, "b", 4)
    ):  # fmt: skip
        table.out(SimpleNamespace(values={"run_id": run, "energy_consumed": energy}), None)
    with path.open(newline="") as table:
        rows = {row["run_id"]: row["energy_consumed"] for row in csv.DictReader(table)}
    assert rows == {"a": "3", "b": "4"}


@needs("codecarbon")
def test_a_country_that_nobody_knows_is_refused(prepared_once, config_of, tmp_path):
    tracking = {"track_emissions": True, "emissions_country": "FRX"}
    with pytest.raises(UsageError, match=r"emissions_country \(found: FRX\).*FRA"):
        train(config_of(prepared_once, tracking=tracking), tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--calculate_emissions"], True),
        (["--track-emissions"], True),
        (["--track_emissions"], True),
        (["--track_emissions", "--dont_calculate_emissions"], False),
        ([], False),
    ],
    ids=str,
)
def test_the_switch_of_emissions_is_honoured(flags, expected):
    assert parsed(flags).tracking.track_emissions is expected


@pytest.mark.parametrize(
    ("flags", "name"), [(["-te", "wandb"], "wandb"), (["--track_exp", "mlflow"], "mlflow"),
                        (["--track_exp", ""], ""), ([], "")], ids=str,
)  # fmt: skip
def test_the_published_names_of_trackers_mean_them(flags, name):
    assert parsed(flags).tracking.track_exp.name == name


def parsed(flags):
    from clinicadl.cli import train as command
    from clinicadl.cli.options import given

    told = command.classification.make_context(
        "classification", [*flags, "caps", "x", "tables", "maps"], token_normalize_func=_dashed
    ).params  # fmt: skip
    nested = given({name: value for name, value in told.items() if "__" in name})
    return read_experiment({**nested, "task": {"name": "classification"}})


def _dashed(text):
    return text.replace("_", "-")
