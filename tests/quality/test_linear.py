"""From a CAPS to tables of probabilities."""

import numpy as np
import pandas as pd
import pytest
import torch

from clinicadl import PrepareConfig, T1LinearQualityConfig, prepare_data, quality_check_t1_linear
from clinicadl.config.preprocessing import Custom
from clinicadl.errors import InvalidDataError, MissingInputError, PartialError, UsageError
from clinicadl.layouts import images
from clinicadl.quality import linear, networks
from clinicadl.quality.linear_views import views
from clinicadl.quality.registration import measures, probability
from clinicadl.quality.registration_align import GRID, read_template

SUFFIX = "desc-Small_T1w.nii.gz"
UNCROPPED = "space-MNI152NLin2009cSym_res-1x1x1_T1w.nii.gz"
SHIFTS_MM = {"sub-a": 12.0, "sub-b": 0.0, "sub-c": 2.0, "sub-d": 30.0}
"""How far each brain is off its place, along y."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A CAPS of four sessions with images of 4 mm, under the name of a pipeline and another."""
    caps = tmp_path_factory.mktemp("quality") / "caps"
    template = read_template(None)
    for number, (participant, shift) in enumerate(SHIFTS_MM.items()):
        affine = np.array(GRID.affine)
        affine[1, 3] += shift
        voxels = template.voxels * (number + 1)
        home = caps / "subjects" / participant / "ses-M000"
        for name in (f"custom/{participant}_ses-M000_{SUFFIX}",
                     f"t1_linear/{participant}_ses-M000_{UNCROPPED}"):  # fmt: skip
            images.write(home / name, voxels, affine=affine)
    return caps


@pytest.fixture
def config(source, tmp_path):
    def make(**said):
        whole = {"caps_directory": source, "output_tsv": tmp_path / "qc.tsv", "n_proc": 1,
                 "custom_suffix": SUFFIX} | said  # fmt: skip
        return T1LinearQualityConfig(**{key: one for key, one in whole.items() if one is not None})

    return make


def read(path):
    return pd.read_csv(path, sep="\t")


def test_the_table_has_the_published_columns_best_first(config, tmp_path):
    assert quality_check_t1_linear(config()) == tmp_path / "qc.tsv"
    table = read(tmp_path / "qc.tsv")
    assert list(table) == ["participant_id", "session_id", "pass_probability", "pass"]
    assert list(table.participant_id) == ["sub-b", "sub-c", "sub-a", "sub-d"]
    assert list(table["pass"]) == [True, True, False, False]
    assert table.pass_probability.is_monotonic_decreasing
    assert not (tmp_path / "qc_failed.tsv").exists()


def test_probabilities_and_details_are_those_of_the_measures(config, source, tmp_path):
    quality_check_t1_linear(config(details=tmp_path / "details.tsv"))
    table = read(tmp_path / "details.tsv").set_index("participant_id")
    template = read_template(None)
    for participant in SHIFTS_MM:
        path = next(source.rglob(f"{participant}_*{SUFFIX}"))
        found = measures(images.read(path), template, path)
        row = table.loc[participant]
        assert row.pass_probability == pytest.approx(probability(found), abs=1e-6)
        for name, value in found._asdict().items():
            assert row[name] == pytest.approx(value, abs=1e-6)
        assert row.image == str(path)
    assert table.reason.isna().tolist() == [True, True, False, False]
    assert table.offset["sub-d"] == pytest.approx(30, abs=3)


def test_only_what_is_above_the_threshold_passes(config, tmp_path):
    quality_check_t1_linear(config(threshold=0))
    table = read(tmp_path / "qc.tsv")
    assert table["pass"].all()
    quality_check_t1_linear(config(threshold=1, overwrite=True))
    assert not read(tmp_path / "qc.tsv")["pass"].any()


def test_processes_do_not_matter(config, tmp_path):
    quality_check_t1_linear(config())
    quality_check_t1_linear(config(n_proc=2, output_tsv=tmp_path / "two.tsv"))
    assert (tmp_path / "qc.tsv").read_bytes() == (tmp_path / "two.tsv").read_bytes()


def test_shards_together_are_the_whole(config, tmp_path):
    quality_check_t1_linear(config())
    for k in (1, 2, 3):
        quality_check_t1_linear(config(shard=f"{k}/3", output_tsv=tmp_path / f"{k}.tsv"))
    parts = pd.concat([read(tmp_path / f"{k}.tsv") for k in (1, 2, 3)])
    ordered, whole = (one.sort_values("participant_id").reset_index(drop=True)
                      for one in (parts, read(tmp_path / "qc.tsv")))  # fmt: skip
    pd.testing.assert_frame_equal(ordered, whole)
    assert list(read(tmp_path / "1.tsv").participant_id) == ["sub-a", "sub-d"]
    with pytest.raises(MissingInputError, match="No session is left"):
        quality_check_t1_linear(config(shard="5/5", output_tsv=tmp_path / "5.tsv"))


def test_a_table_and_labels_say_who_is_checked(config, tmp_path):
    table = tmp_path / "some.tsv"
    table.write_text("participant_id\tsession_id\nsub-d\tses-M000\nsub-b\tses-M000\n")
    quality_check_t1_linear(config(participants_tsv=table))
    assert list(read(tmp_path / "qc.tsv").participant_id) == ["sub-b", "sub-d"]
    quality_check_t1_linear(
        config(participants_tsv=table, participant_label=("b",), overwrite=True)
    )
    assert list(read(tmp_path / "qc.tsv").participant_id) == ["sub-b"]
    table.write_text("participant_id\tsession_id\nsub-d\tses-M000\nsub-b\tses-M006\n")
    with pytest.raises(MissingInputError, match=r"1 of 2 sessions.*sub-b \| ses-M006"):
        quality_check_t1_linear(config(participants_tsv=table, overwrite=True))


def test_sessions_without_an_image_are_said_and_left_out(config, damaged, source, tmp_path, caplog):
    for name in ("sub-x1", "sub-x2"):
        next((damaged / "subjects" / name).rglob("*.nii.gz")).unlink()
    (damaged / "subjects" / "sub-b").symlink_to(source / "subjects" / "sub-b")
    quality_check_t1_linear(config(caps_directory=damaged))
    assert "2 of 3 sessions have nothing like" in caplog.text
    assert "sub-x1 | ses-M000, sub-x2 | ses-M000" in caplog.text
    assert len(read(tmp_path / "qc.tsv")) == 1


def test_a_template_of_ones_own_is_taken(config, source, tmp_path):
    shifted = next(source.rglob(f"sub-d_*{SUFFIX}"))
    quality_check_t1_linear(config(template=shifted))
    assert read(tmp_path / "qc.tsv").participant_id[0] == "sub-d"


def test_tensors_say_the_same_as_their_images(config, source, tmp_path):
    quality_check_t1_linear(config())
    preprocessing = Custom(custom_suffix=SUFFIX)
    with pytest.raises(MissingInputError, match="4 of 4 sessions have no tensor"):
        quality_check_t1_linear(config(use_tensor=True, output_tsv=tmp_path / "tensors.tsv"))
    prepare_data(
        PrepareConfig(caps_directory=source, preprocessing=preprocessing, extract_json="small")
    )
    quality_check_t1_linear(config(use_tensor=True, output_tsv=tmp_path / "tensors.tsv"))
    assert (tmp_path / "qc.tsv").read_bytes() == (tmp_path / "tensors.tsv").read_bytes()


@pytest.fixture
def damaged(config, source, tmp_path):
    """The same CAPS with an image that shows nothing and one that is cut off."""
    for number, content in ((1, b""), (2, None)):
        home = tmp_path / "caps" / "subjects" / f"sub-x{number}" / "ses-M000" / "custom"
        home.mkdir(parents=True)
        path = home / f"sub-x{number}_ses-M000_{SUFFIX}"
        if content is None:
            images.write(path, np.ones(GRID.shape, np.float32), affine=np.array(GRID.affine))
        else:
            path.write_bytes(content)
    return tmp_path / "caps"


def test_what_cannot_be_judged_is_listed_and_the_others_are_judged(
    config, damaged, source, tmp_path
):
    (damaged / "subjects" / "sub-b").symlink_to(source / "subjects" / "sub-b")
    with pytest.raises(PartialError, match=r"2 of 3 images.*sub-x1 \| ses-M000, sub-x2"):
        quality_check_t1_linear(config(caps_directory=damaged))
    assert list(read(tmp_path / "qc.tsv").participant_id) == ["sub-b"]
    failed = read(tmp_path / "qc_failed.tsv")
    assert list(failed.participant_id) == ["sub-x1", "sub-x2"]
    assert "empty file" in failed.reason[0]
    assert "All voxels of the image are the same" in failed.reason[1]
    quality_check_t1_linear(
        config(caps_directory=damaged, participant_label=("b",), overwrite=True)
    )
    assert not (tmp_path / "qc_failed.tsv").exists()


def test_no_table_is_written_where_nothing_can_be_judged(config, damaged, tmp_path):
    with pytest.raises(InvalidDataError, match="None of the 2 images"):
        quality_check_t1_linear(config(caps_directory=damaged))
    assert not (tmp_path / "qc.tsv").exists()
    assert len(read(tmp_path / "qc_failed.tsv")) == 2


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of sq101 that nobody learnt, so large that its probabilities differ."""
    network = networks.JUDGES["sq101"].build()
    draw = torch.Generator().manual_seed(4)
    for tensor in network.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=draw) / (tensor[0].numel() / 2) ** 0.5)
    path = tmp_path_factory.mktemp("weights") / "sq101.pth"
    torch.save(network.state_dict(), path)
    return path


def test_a_network_judges_the_uncropped_images_in_batches(config, weights, source, tmp_path):
    quality_check_t1_linear(
        config(network="sq101", weights=weights, batch_size=3, gpu=False, custom_suffix=None,
               details=tmp_path / "details.tsv")
    )  # fmt: skip
    table = read(tmp_path / "qc.tsv").set_index("participant_id")
    network = networks.read("sq101", weights)
    for participant in SHIFTS_MM:
        image = images.read(next(source.rglob(f"{participant}_*{UNCROPPED}")))
        with torch.inference_mode():
            logits = network(torch.from_numpy(views(image.voxels))[None])[0].double()
        wanted = (logits[1].exp() / logits.exp().sum()).item()
        assert table.pass_probability[participant] == pytest.approx(wanted, abs=2e-6)
    details = read(tmp_path / "details.tsv")
    assert list(details) == [*linear.COLUMNS, "judge", "image"]
    assert set(details.judge) == {"sq101"}


def test_a_damaged_image_does_not_stop_a_network(config, weights, damaged, source, tmp_path):
    (damaged / "subjects" / "sub-b").symlink_to(source / "subjects" / "sub-b")
    with pytest.raises(PartialError, match="2 of 3"):
        quality_check_t1_linear(
            config(caps_directory=damaged, network="sq101", weights=weights, gpu=False)
        )
    assert len(read(tmp_path / "qc.tsv")) == 1


def test_half_precision_needs_a_gpu(config, weights):
    with pytest.raises(UsageError, match="--amp"):
        quality_check_t1_linear(config(network="sq101", weights=weights, gpu=False, amp=True))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"output_tsv": "qc.csv"}, "must end in .tsv"),
        ({"details": "qc.txt"}, "must end in .tsv"),
        ({"gpu": True}, "--gpu means nothing without a network"),
        ({"batch_size": 2}, "--batch_size means nothing without a network"),
        ({"network": "none", "weights": "w.pth"}, "--weights means nothing"),
        ({"network": "darq", "template": "t.nii"}, "--template means nothing to a network"),
        ({"use_uncropped_image": True}, "means nothing beside --custom_suffix"),
        ({"output_tsv": "a.tsv", "details": "a.tsv"}, "a name of its own"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(config, said, wrong):
    with pytest.raises(ValueError, match=wrong):
        config(**said)


def test_with_weights_the_network_is_darq(config):
    assert config(weights="w.pth").judge == "darq"
    assert config().judge == "none"
    assert config(weights="w.pth", custom_suffix=None).preprocessing.use_uncropped_image
    assert not config(custom_suffix=None).preprocessing.use_uncropped_image


@pytest.mark.data
def test_real_images_are_told_from_their_shifted_copies(real_data, tmp_path):
    output = tmp_path / "qc.tsv"
    quality_check_t1_linear(
        T1LinearQualityConfig(caps_directory=real_data / "t1-linear-caps", output_tsv=output)
    )
    # The brain of sub-MSX19, as its source put it on MNI152, is a sixth smaller than the template.
    assert dict(zip(*read(output)[["participant_id", "pass"]].T.values, strict=True)) == {
        "sub-02": True, "sub-TPL": True, "sub-MSX19": False,
    }  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("amp", [False, True])
def test_a_gpu_says_nearly_the_same(amp, config, weights, tmp_path):
    said = {"network": "sq101", "weights": weights}
    quality_check_t1_linear(config(**said, gpu=False))
    quality_check_t1_linear(config(**said, gpu=True, amp=amp, output_tsv=tmp_path / "gpu.tsv"))
    ours, theirs = (read(tmp_path / name).set_index("participant_id").sort_index()
                    for name in ("gpu.tsv", "qc.tsv"))  # fmt: skip
    tolerance = 0.05 if amp else 0.01
    np.testing.assert_allclose(ours.pass_probability, theirs.pass_probability, atol=tolerance)
