"""Reading MAPS of releases 1.x: the same predictions, the same guard, nothing that runs."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from clinicadl import (
    PredictConfig,
    PrepareConfig,
    import_maps,
    predict,
    prepare_data,
    resume,
    train,
)
from clinicadl.config.network import NETWORKS
from clinicadl.config.transfer import TransferConfig
from clinicadl.engine import imports
from clinicadl.errors import (
    CannotResumeError,
    InvalidDataError,
    LeakageError,
    MissingInputError,
    OutputError,
    UsageError,
)
from clinicadl.layouts.maps import folder, names
from clinicadl.networks import weights

TOLERANCE = 1e-5
"""Another order of the same sums."""


def on_test_set(caps, **settings):
    return PredictConfig(
        caps_directory=caps, participants_tsv=caps / "split/test_baseline.tsv", n_proc=0, gpu=False,
        **settings,
    )  # fmt: skip


def stored_image(caps, participant):
    (path,) = caps.glob(f"subjects/{participant}/ses-M000/deeplearning_prepare_data/image_*/*/*.pt")
    return torch.load(path, weights_only=True)


def scaled(sample):
    return (sample - sample.min()) / (sample.max() - sample.min())


def read(maps, group, level="image", kind="prediction"):
    path = maps / f"split-0/best-loss/{group}/{group}_{level}_level_{kind}.tsv"
    return pd.read_csv(path, sep="\t")


def changed(maps, **keys):
    path = maps / "maps.json"
    content = json.loads(path.read_text()) | keys
    path.write_text(json.dumps(content))
    return maps


def files_of(path):
    return {one.relative_to(path): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def test_an_imported_model_predicts_as_the_published_one(
    published_maps, prepared_once, plain_network, tmp_path
):
    import_maps(published_maps, tmp_path / "new")
    predict(on_test_set(prepared_once), tmp_path / "new", "test")
    said, network = read(tmp_path / "new", "test"), plain_network()
    assert len(said) == 6
    for row in said.itertuples():
        image = scaled(stored_image(prepared_once, row.participant_id))
        expected = torch.softmax(network(image[None])[0], dim=0).detach().numpy()
        np.testing.assert_allclose([row.proba0, row.proba1], expected, atol=TOLERANCE)
    # Not saturated, so that they could differ.
    assert 0.01 < said["proba0"].min() < said["proba0"].max() < 0.99


def test_nothing_of_the_old_maps_is_changed_and_tables_and_logs_are_kept(published_maps, tmp_path):
    before, new = files_of(published_maps), tmp_path / "new"
    import_maps(published_maps, new)
    assert files_of(published_maps) == before
    kept = [
        path for path in before if path.suffix in (".tsv", ".log") and path.parts[0] == "split-0"
    ]
    assert len(kept) == 7
    after = files_of(new)
    assert all(after[path] == before[path] for path in kept)
    assert after.keys() >= {path for path in before if path.name in ("environment.txt",)}
    assert not [path for path in after if "pth" in path.name or path.name.startswith(".")]


def test_the_record_says_what_the_published_one_said(published_maps, prepared_once, tmp_path):
    changed(published_maps, learning_rate=0.003, dropout=0.2, seed=7, amp=True)
    record = import_maps(published_maps, tmp_path / "new").record
    assert record == folder.open_maps(tmp_path / "new").record
    config = record.config
    assert config.optimization.learning_rate == 0.003
    assert (config.network.name, config.network.dropout) == ("Conv4_FC3", 0.2)
    assert config.reproducibility.seed == 7
    assert config.data.tsv_directory == prepared_once / "split/2_fold"
    assert config.data.preprocessing_json == "tiny.json"
    assert record.label_code == {"AD": 0, "CN": 1}
    assert record.input_shape == (1, 18, 20, 17)
    extraction = json.loads((prepared_once / "tensor_extraction/tiny.json").read_text())
    assert record.extractions == (extraction,)
    assert record.created == "2024-10-03T11:30:00"
    assert record.generated_by == {"clinicadl": "1.6.1", "torch": "2.1.2", "numpy": "1.26.4"}
    assert record.imported.path == str(published_maps)
    assert record.imported.format == "release 1.6.1"
    assert record.imported.settings == json.loads((published_maps / "maps.json").read_text())
    facts = weights.read(names.weights(tmp_path / "new", 0, "loss")).facts
    assert facts == {"network": config.network.model_dump(mode="json"), "epoch": 1}


def test_what_we_cannot_do_is_noted_and_said(published_maps, tmp_path, caplog):
    import_maps(
        changed(published_maps, caps_target="other"),
        tmp_path / "new",
    )
    assert "caps_target = " in caplog.text


def test_groups_lose_their_index_and_keep_everybody(published_maps, tmp_path):
    import_maps(published_maps, tmp_path / "new")
    for split in (0, 1):
        for name in names.OWN_GROUPS:
            old = pd.read_csv(published_maps / f"groups/{name}/split-{split}/data.tsv", sep="\t")
            new = pd.read_csv(tmp_path / f"new/groups/{name}/split-{split}/data.tsv", sep="\t")
            pd.testing.assert_frame_equal(new, old.drop(columns="Unnamed: 0"))


def test_whoever_the_old_models_saw_is_refused(published_maps, prepared_once, tmp_path):
    import_maps(published_maps, tmp_path / "new")
    for table in ("train.tsv", "validation_baseline.tsv"):
        rows = prepared_once / "split/2_fold/split-1" / table
        config = PredictConfig(caps_directory=prepared_once, participants_tsv=rows, gpu=False)
        with pytest.raises(LeakageError, match="seen in train or validation by this MAPS"):
            predict(config, tmp_path / "new", "again")
    assert not (tmp_path / "new/groups/again").exists()


def with_test_group(maps, caps, table="split/test_baseline.tsv", name="test"):
    rows = pd.read_csv(caps / table, sep="\t").assign(cohort="single")
    home = maps / "groups" / name
    home.mkdir()
    rows[["participant_id", "session_id", "cohort", "diagnosis"]].to_csv(
        home / "data.tsv", sep="\t", index=False
    )
    shutil.copy(maps / "groups/train/split-0/maps.json", home / "maps.json")
    said = maps / "split-0/best-loss" / name
    said.mkdir()
    shutil.copy(
        maps / "split-0/best-loss/validation/validation_image_level_metrics.tsv",
        said / f"{name}_image_level_metrics.tsv",
    )
    (said / "description.log").write_text(f"Prediction {name} group - 2024-11-05 09:00:00.5\n")
    return maps


def test_a_data_group_comes_along_with_its_look(published_maps, prepared_once, tmp_path):
    with_test_group(published_maps, prepared_once)
    import_maps(published_maps, tmp_path / "new")
    (look,) = pd.read_csv(tmp_path / "new/ledger.tsv", sep="\t").itertuples()
    assert (look.date, look.group) == ("2024-11-05 09:00:00.5", "test")
    assert (look.n_participants, look.n_sessions) == (6, 6)
    assert look.models == "split-0/best-loss"
    with pytest.raises(OutputError, match="results exist"):
        predict(PredictConfig(gpu=False), tmp_path / "new", "test")
    shutil.rmtree(tmp_path / "new/split-0/best-loss/test")
    predict(PredictConfig(gpu=False, n_proc=0), tmp_path / "new", "test")
    assert len(read(tmp_path / "new", "test")) == 6


def of_cohort(maps, caps, table):
    """Let the data group test be of cohort Here, whose CAPS a table names."""
    with_test_group(maps, caps)
    home = maps / "groups/test"
    (home / "maps.json").write_text(
        json.dumps({"caps_directory": str(table), "multi_cohort": True})
    )
    data = home / "data.tsv"
    data.write_text(data.read_text().replace("single", "Here"))
    shutil.rmtree(maps / "split-0/best-loss/test")


def test_a_group_of_several_cohorts_keeps_their_places(published_maps, prepared_once, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "caps.tsv").write_text(f"cohort\tpath\nThere\tthere\nHere\t{prepared_once}\n")
    of_cohort(published_maps, prepared_once, tmp_path / "caps.tsv")
    import_maps(published_maps, tmp_path / "new")
    group = folder.read_group(tmp_path / "new", "test")
    assert folder.caps_of(group) == {"Here": prepared_once}
    predict(PredictConfig(gpu=False, n_proc=0), tmp_path / "new", "test")
    assert len(read(tmp_path / "new", "test")) == 6


def test_a_table_of_cohorts_that_is_gone_is_said(published_maps, prepared_once, tmp_path, caplog):
    of_cohort(published_maps, prepared_once, tmp_path / "gone.tsv")
    import_maps(published_maps, tmp_path / "new")
    assert "the images of test are not found any more" in caplog.text
    with pytest.raises(MissingInputError, match="gone.tsv"):
        predict(PredictConfig(gpu=False, n_proc=0), tmp_path / "new", "test")


def test_a_look_that_leaked_is_marked(published_maps, prepared_once, tmp_path, caplog):
    with_test_group(published_maps, prepared_once, "split/2_fold/split-1/validation_baseline.tsv")
    import_maps(published_maps, tmp_path / "new")
    verdict = json.loads((tmp_path / "new/split-0/best-loss/test/guard.json").read_text())
    assert [finding["rule"] for finding in verdict["findings"]] == [
        "seen-participants", "seen-sessions",
    ]  # fmt: skip
    assert "of data group test were seen in train or validation" in caplog.text


def test_a_split_that_leaked_is_recorded(published_maps, tmp_path, caplog):
    table = published_maps / "groups/train/split-0/data.tsv"
    shutil.copy(published_maps / "groups/validation/split-0/data.tsv", table)
    record = import_maps(published_maps, tmp_path / "new").record
    assert [finding["rule"] for finding in record.guard] == ["shared-participants"]
    assert "are also in train of split 0" in caplog.text


def test_early_releases_say_fold(published_maps, prepared_once, plain_network, tmp_path):
    for path in [*published_maps.glob("groups/*/split-*"), published_maps / "split-0"]:
        path.rename(path.with_name(path.name.replace("split", "fold")))
    import_maps(published_maps, tmp_path / "new")
    predict(on_test_set(prepared_once), tmp_path / "new", "test")
    said = read(tmp_path / "new", "test")
    image = scaled(stored_image(prepared_once, said["participant_id"][0]))
    expected = torch.softmax(plain_network()(image[None])[0], dim=0).detach().numpy()
    np.testing.assert_allclose(said.loc[0, ["proba0", "proba1"]].tolist(), expected, atol=TOLERANCE)


def test_old_records_hold_the_extraction_themselves(published_maps, tmp_path):
    content = json.loads((published_maps / "maps.json").read_text())
    content |= content.pop("preprocessing_dict")
    renamed = {"model": "architecture", "multi": "multi_network", "num_workers": "n_proc",
               "minmaxnormalization": "normalize"}  # fmt: skip
    for old, new in renamed.items():
        content[old] = content.pop(new)
    content["use_cpu"] = not content.pop("gpu")
    del content["optimizer"]
    (published_maps / "maps.json").write_text(json.dumps(content))
    record = import_maps(published_maps, tmp_path / "new").record
    assert record.config.data.preprocessing_json == "tiny.json"
    assert record.extractions[0]["preprocessing"] == "custom"
    assert record.config.optimization.optimizer == "Adam"
    assert record.config.network.name == "Conv4_FC3"


def test_a_regression_predicts_as_before(published_of, prepared_once, plain_network, tmp_path):
    network = plain_network(n_outputs=1)
    old = published_of(
        tmp_path / "old", network_of=lambda _: network, network_task="regression", label="age",
        label_code=None, selection_threshold=None, loss="L1Loss", output_size=1,
    )  # fmt: skip
    config = import_maps(old, tmp_path / "new").record.config
    assert (config.task.name, config.task.labels, config.task.loss) == (
        "regression", ("age",), "L1Loss",
    )  # fmt: skip
    predict(on_test_set(prepared_once), tmp_path / "new", "test")
    for row in read(tmp_path / "new", "test").itertuples():
        image = scaled(stored_image(prepared_once, row.participant_id))
        expected = network(image[None]).item()
        assert row.predicted_label == pytest.approx(expected, abs=TOLERANCE)


def of_ours(name, shape, n_outputs=0):
    """Return a network of ours with random weights, whose parameters are named as published."""
    return NETWORKS[name]().build(shape, n_outputs).eval()


@pytest.mark.parametrize("name", ["AE_Conv4_FC3", "AE_Conv5_FC3"])
def test_a_reconstruction_gives_back_what_it_did(published_of, prepared_once, tmp_path, name):
    network = of_ours(name, (1, 18, 20, 17))
    old = published_of(
        tmp_path / "old", network_of=lambda _: network, network_task="reconstruction", label=None,
        label_code=None, selection_threshold=None, loss="MSELoss", architecture=name,
        output_size=[1, 18, 20, 17],
    )  # fmt: skip
    import_maps(old, tmp_path / "new")
    predict(on_test_set(prepared_once), tmp_path / "new", "test")
    for row in read(tmp_path / "new", "test").itertuples():
        image = scaled(stored_image(prepared_once, row.participant_id))
        apart = (network(image[None])[0] - image).abs()
        expected = [apart.mean().item(), apart.square().mean().sqrt().item()]
        np.testing.assert_allclose([row.MAE, row.RMSE], expected, atol=TOLERANCE)


def variational(published_of, tmp_path, **record):
    network = of_ours("Vanilla3DdenseVAE", (1, 18, 20, 17))
    return published_of(
        tmp_path / "old", network_of=lambda _: network, network_task="reconstruction", label=None,
        label_code=None, selection_threshold=None, architecture="Vanilla3DdenseVAE", kl_weight=0.1,
        output_size=[1, 18, 20, 17], **record,
    )  # fmt: skip


def test_a_variational_network_gets_a_loss_that_fits(published_of, prepared_once, tmp_path):
    record = import_maps(variational(published_of, tmp_path, loss=None), tmp_path / "new").record
    assert (record.config.task.loss, record.config.task.kl_weight) == ("VAEGaussianLoss", 0.1)
    predict(on_test_set(prepared_once), tmp_path / "new", "test")
    assert len(read(tmp_path / "new", "test")) == 6


def test_a_loss_that_does_not_fit_the_network_is_refused(published_of, tmp_path):
    with pytest.raises(InvalidDataError, match=r"variational.*maps\.json.*MSELoss"):
        import_maps(variational(published_of, tmp_path, loss="MSELoss"), tmp_path / "new")


def test_a_network_of_another_task_is_refused(published_of, tmp_path):
    old = published_of(tmp_path / "old", architecture="AE_Conv5_FC3")
    with pytest.raises(InvalidDataError, match=r"maps\.json"):
        import_maps(old, tmp_path / "new")


PATCH = 9


@pytest.fixture
def patches(prepared):
    """The CAPS, described as patches of 9: 2 x 2 x 1 of each image."""
    prepare_data(
        PrepareConfig(
            caps_directory=prepared,
            preprocessing={"name": "custom", "custom_suffix": "desc-Tiny_T1w.nii.gz"},
            mode={"name": "patch", "patch_size": PATCH, "stride_size": PATCH},
            extract_json="patches", n_proc=1,
        )
    )  # fmt: skip
    return prepared


def cut(image):
    return [
        scaled(image[:, x : x + PATCH, y : y + PATCH, :PATCH])
        for x in (0, PATCH) for y in (0, PATCH)
    ]  # fmt: skip


@pytest.mark.parametrize("multi", [False, True])
def test_parts_and_their_networks_vote_as_before(
    patches, published_of, plain_network, tmp_path, multi
):
    shape, extraction = (1, PATCH, PATCH, PATCH), patches / "tensor_extraction/patches.json"
    stored = {part: plain_network(shape, seed=part + 1 if multi else 1) for part in range(4)}
    old = published_of(
        tmp_path / "old", caps=patches, network_of=lambda part: stored[part or 0],
        multi_network=multi, mode="patch", num_networks=4, input_size=[*shape],
        preprocessing_dict=json.loads(extraction.read_text()),
    )  # fmt: skip
    import_maps(old, tmp_path / "new")
    predict(on_test_set(patches), tmp_path / "new", "test")
    parts = read(tmp_path / "new", "test", "patch").set_index(["participant_id", "patch_id"])
    for participant in parts.index.levels[0]:
        votes = []
        for part, sample in enumerate(cut(stored_image(patches, participant))):
            expected = torch.softmax(stored[part](sample[None])[0], dim=0).detach().numpy()
            row = parts.loc[(participant, part), ["proba0", "proba1"]].tolist()
            np.testing.assert_allclose(row, expected, atol=TOLERANCE)
            votes.append(expected)
        # On validation part 0 has a balanced accuracy of 1 and the others of 0.5.
        expected = np.average(votes, axis=0, weights=[1, 0.5, 0.5, 0.5])
        images = read(tmp_path / "new", "test").set_index("participant_id")
        said = images.loc[participant, ["proba0", "proba1"]].tolist()
        np.testing.assert_allclose(said, expected, atol=TOLERANCE)


def test_a_network_that_is_missing_among_several_is_refused(
    patches, published_of, plain_network, tmp_path
):
    shape = (1, PATCH, PATCH, PATCH)
    extraction = json.loads((patches / "tensor_extraction/patches.json").read_text())
    old = published_of(
        tmp_path / "old", caps=patches, network_of=lambda _: plain_network(shape), mode="patch",
        multi_network=True, num_networks=4, input_size=[*shape], preprocessing_dict=extraction,
    )  # fmt: skip
    (old / "split-0/best-loss/network-2_model.pth.tar").unlink()
    with pytest.raises(MissingInputError, match="not all there.*network-3"):
        import_maps(old, tmp_path / "new")


def test_first_weights_bring_whom_their_source_saw(published_maps, prepared_once, tmp_path):
    path = published_maps / "groups/train+validation.tsv"
    known = pd.read_csv(prepared_once / "split/test_baseline.tsv", sep="\t")["participant_id"][0]
    path.write_text(path.read_text() + f"{known}\tses-M000\nsub-X1\tses-M000\n")
    changed(published_maps, transfer_path="earlier/maps", transfer_selection_metric="BA")
    record = import_maps(published_maps, tmp_path / "new").record
    (parent,) = record.parents
    assert (parent.path, parent.selection_metric) == ("earlier/maps", "BA")
    extra = {known, "sub-X1"}
    assert {split: set(who) for split, who in parent.train.items()} == {0: extra, 1: extra}
    seen = folder.read_seen(tmp_path / "new").set_index("participant_id")["seen_by"]
    assert seen["sub-X1"] == "earlier/maps"
    assert set(seen[[who not in extra for who in seen.index]]) == {""}
    with pytest.raises(LeakageError, match=f"seen in train or validation by earlier/maps: {known}"):
        predict(on_test_set(prepared_once), tmp_path / "new", "test")


def test_participants_of_no_split_count_as_seen_and_it_is_said(published_maps, tmp_path, caplog):
    path = published_maps / "groups/train+validation.tsv"
    path.write_text(path.read_text() + "sub-X1\tses-M000\n")
    import_maps(published_maps, tmp_path / "new")
    assert "1 participants are in no split" in caplog.text
    seen = folder.read_seen(tmp_path / "new").set_index("participant_id")
    assert seen.loc["sub-X1"].tolist() == ["ses-M000", "", ""]


def test_weights_of_an_imported_maps_can_be_transferred(
    published_maps, prepared_once, config_of, plain_network, tmp_path
):
    import_maps(published_maps, tmp_path / "new")
    config = config_of(
        prepared_once,
        optimization={"epochs": 1, "optimizer": "SGD", "learning_rate": 1e-30, "weight_decay": 0},
        task={"selection_metrics": ["loss"]},
    )  # fmt: skip
    source = TransferConfig(transfer_path=tmp_path / "new")
    train(config.model_copy(update={"transfer": source}), tmp_path / "next")
    state = weights.read(names.weights(tmp_path / "next", 0, "loss")).state
    for name, tensor in plain_network().state_dict().items():
        assert "running" in name or "num_batches" in name or torch.equal(state[name], tensor)
    (parent,) = folder.open_maps(tmp_path / "next").record.parents
    assert parent.epochs == {0: (1,)}


def test_an_imported_maps_cannot_be_resumed(published_maps, tmp_path):
    import_maps(published_maps, tmp_path / "new")
    with pytest.raises(CannotResumeError, match="another release.*from-maps"):
        resume(tmp_path / "new")


def test_an_unfinished_split_is_left_out(published_maps, tmp_path, caplog):
    shutil.copytree(published_maps / "split-0", published_maps / "split-1")
    (published_maps / "split-1/tmp").mkdir()
    import_maps(published_maps, tmp_path / "new")
    assert names.split_numbers(tmp_path / "new") == [0]
    assert "not finished are left out: 1" in caplog.text
    (published_maps / "split-0/tmp").mkdir()
    with pytest.raises(MissingInputError, match="No split of the MAPS was trained to its end"):
        import_maps(published_maps, tmp_path / "other")


class Evil:
    """Runs a command when somebody unpickles it."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_weights_that_would_run_code_are_refused_and_nothing_runs_or_is_written(
    published_maps, tmp_path
):
    ran = tmp_path / "ran"
    path = published_maps / "split-0/best-loss/model.pth.tar"
    content = torch.load(path, weights_only=True)
    torch.save(content | {"name": Evil(f"touch {ran}")}, path)
    with pytest.raises(InvalidDataError, match="asks to run code.*model.pth.tar.*system"):
        import_maps(published_maps, tmp_path / "new")
    assert not ran.exists()
    assert not (tmp_path / "new").exists()


def cut_short(maps):
    path = maps / "split-0/best-loss/model.pth.tar"
    path.write_bytes(path.read_bytes()[:-1000])


def other_shape(maps):
    path = maps / "split-0/best-loss/model.pth.tar"
    content = torch.load(path, weights_only=True)
    content["model"]["fc.6.weight"] = torch.zeros(3, 40)
    torch.save(content, path)


def other_network(maps):
    path = maps / "split-0/best-loss/model.pth.tar"
    torch.save(torch.load(path, weights_only=True) | {"name": "Stride_Conv5_FC3"}, path)


def without(name):
    def remove(maps):
        path = maps / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def saying(name, text):
    return lambda maps: (maps / name).write_text(text)


MALFORMED = {
    "truncated weights": (cut_short, InvalidDataError, ("model.pth.tar", "Copy the file again")),
    "other shape": (other_shape, InvalidDataError, ("fc.6.weight", "Conv4_FC3", "1 x 18")),
    "other network": (other_network, InvalidDataError, ("Stride_Conv5_FC3", "Conv4_FC3")),
    "no weights": (without("split-0/best-loss/model.pth.tar"), MissingInputError, ("not all",)),
    "no splits": (without("split-0"), MissingInputError, ("No split",)),
    "no groups": (without("groups"), MissingInputError, ("whom its models have seen",)),
    "no train": (without("groups/train"), MissingInputError, ("train of split 0",)),
    "no validation of one": (
        without("groups/validation/split-1"), MissingInputError, ("validation of split 1",)
    ),
    "no table": (without("groups/train/split-0/data.tsv"), MissingInputError, ("data.tsv",)),
    "no seen": (without("groups/train+validation.tsv"), MissingInputError, ("validation.tsv",)),
    "no origin": (
        without("groups/train/split-0/maps.json"), MissingInputError, ("origin of the data group",)
    ),
    "empty origin": (
        saying("groups/train/split-0/maps.json", "{}"), InvalidDataError, ("where its images were",)
    ),
    "no record": (without("maps.json"), MissingInputError, ("no maps.json",)),
    "torn record": (saying("maps.json", '{"architecture": '), InvalidDataError, ("not JSON",)),
    "other record": (saying("maps.json", '{"a": 1}'), InvalidDataError, ("names no task",)),
    "no ids": (
        saying("groups/train/split-0/data.tsv", "who\tsession_id\nsub-1\tses-M000\n"),
        MissingInputError, ("participant_id", "data.tsv"),
    ),
    "empty id": (
        saying("groups/train/split-0/data.tsv",
               "participant_id\tsession_id\nsub-1\tses-M000\nsub-2\tn/a\n"),
        InvalidDataError, ("no identifier", "row 3"),
    ),
    "unknown key": (
        lambda maps: changed(maps, epoch=3), InvalidDataError, ("epoch", "epochs", "maps.json")
    ),
    "unknown network": (
        lambda maps: changed(maps, architecture="NoSuchNet"), InvalidDataError,
        ("NoSuchNet", "Conv5_FC3"),
    ),
    "unknown task": (
        lambda maps: changed(maps, network_task="segmentation"), InvalidDataError,
        ("segmentation", "classification"),
    ),
    "adaptation": (
        lambda maps: changed(maps, ssda_network=True), InvalidDataError, ("ssda_network",)
    ),
    "wrong value": (
        lambda maps: changed(maps, epochs=0), InvalidDataError, ("maps.json, epochs",)
    ),
    "no shape": (lambda maps: changed(maps, input_size="1@18x20"), InvalidDataError, ("input_",)),
    "no nodes": (lambda maps: changed(maps, label_code=["AD"]), InvalidDataError, ("label_code",)),
    "unknown preprocessing": (
        lambda maps: changed(maps, preprocessing_dict={
            "preprocessing": "t9", "mode": "image", "extract_json": "x.json"
        }),
        InvalidDataError, ("t9", "t1-linear"),
    ),
    "unknown mode": (
        lambda maps: changed(maps, preprocessing_dict={
            "preprocessing": "t1-linear", "mode": "cube", "extract_json": "x.json"
        }),
        InvalidDataError, ("cube", "patch"),
    ),
    "two folders": (
        lambda maps: shutil.copytree(maps / "split-0", maps / "fold-0"), InvalidDataError,
        ("fold-0 and split-0",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_read_is_refused_with_its_reason(published_maps, tmp_path, name):
    break_it, kind, words = MALFORMED[name]
    break_it(published_maps)
    with pytest.raises(kind) as caught:
        import_maps(published_maps, tmp_path / "new")
    assert type(caught.value) is kind
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_maps_of_ours_and_a_taken_place_are_refused(published_maps, trained, tmp_path):
    with pytest.raises(UsageError, match="this release"):
        import_maps(trained, tmp_path / "new")
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="exists"):
        import_maps(published_maps, tmp_path / "taken")


def test_an_import_that_fails_leaves_nothing(published_maps, tmp_path, monkeypatch):
    planned = imports.ready(published_maps, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    shutil.rmtree(published_maps / "split-0/training_logs")
    (published_maps / "split-0/best-loss/model.pth.tar").unlink()
    with pytest.raises(MissingInputError, match="model.pth.tar"):
        imports.write(planned)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_command_that_meets_an_old_maps_says_how_to_read_it(published_maps, prepared_once):
    with pytest.raises(InvalidDataError, match="clinicadl maps import"):
        predict(on_test_set(prepared_once), published_maps, "test")
