"""What happens to a sample: what may be said, and what may not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from clinicadl.config.read import experiment, json_schema, to_toml
from clinicadl.config.transforms import AUGMENTATIONS, NORMALIZATIONS, TransformsConfig
from clinicadl.errors import InvalidDataError, UsageError

DATA = {"caps_directory": "caps", "preprocessing_json": "x", "tsv_directory": "tables"}


def read(tmp_path, text):
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    return experiment({"data": DATA}, file=path).transforms


def test_nothing_said_is_the_published_default():
    settings = experiment({"data": DATA}).transforms
    assert settings.normalize
    assert settings.normalization.name == "min-max"
    assert not settings.size_reduction
    assert settings.augmentation == ()


@given(
    st.lists(st.sampled_from(list(AUGMENTATIONS)), max_size=5),
    st.sampled_from(list(NORMALIZATIONS)),
    st.floats(0, 1),
)
def test_what_is_written_as_toml_or_json_reads_back_the_same(tmp_path_factory, names, how, p):
    config = experiment(
        {
            "data": DATA,
            "transforms": {
                "augmentation": [{"name": name, "p": p} for name in names],
                "normalization": how,
            },
        }
    )
    path = tmp_path_factory.mktemp("toml") / "experiment.toml"
    path.write_text(to_toml(config))
    assert experiment({}, file=path) == config
    assert type(config).model_validate_json(config.model_dump_json()) == config
    content = json.loads(config.model_dump_json())
    assert not list(Draft202012Validator(json.loads(json_schema())).iter_errors(content))


def test_an_augmentation_in_a_file_has_parameters(tmp_path):
    text = (
        '[[transforms.augmentation]]\nname = "Noise"\nstd = 0.2\np = 0.5\n'
        '[[transforms.augmentation]]\nname = "Motion"\ndegrees = [1, 2]\n'
    )
    noise, motion = read(tmp_path, text).augmentation
    assert (noise.std, noise.p) == (0.2, 0.5)
    assert (motion.degrees, motion.translation, motion.p) == ((1, 2), (2, 4), 1)


def test_augmentations_on_the_command_line_are_names(invoke, tmp_path):
    code, out, _ = invoke("train", "classification", "--help")
    assert code == 0
    assert "--data-augmentation" in out
    assert all(name in out for name in AUGMENTATIONS)
    given = {"data": DATA, "transforms": {"augmentation": ("None", "BiasField", "Noise")}}
    names = [row.name for row in experiment(given).transforms.augmentation]
    assert names == ["BiasField", "Noise"]


def test_the_parameters_of_percentiles_need_the_name(tmp_path):
    settings = read(tmp_path, '[transforms.normalization]\nname = "percentile"\n').normalization
    assert (settings.low_percentile, settings.high_percentile) == (1, 99)
    with pytest.raises(InvalidDataError, match="percentile"):
        read(tmp_path, "[transforms.normalization]\nlow_percentile = 2\n")


NOISE = '[[transforms.augmentation]]\nname = "Noise"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[transforms]\naugmentation = ["Nois"]\n', ("Nois", "Noise")),
        ('[transforms]\naugmentation = ["noise"]\n', ("'noise' is not known", "Noise")),
        ('[transforms]\naugmentation = "Noise"\n', ("transforms.augmentation", "tuple")),
        (NOISE + "std = -1\n", ("std", "greater than or equal to 0")),
        (NOISE + "std = inf\n", ("std", "finite")),
        (NOISE + "p = 1.5\n", ("augmentation.0.p", "less than or equal to 1")),
        (NOISE + "sigma = 1\n", ("sigma", "not known")),
        (NOISE.replace("Noise", "Motion") + "degrees = [4, 2]\n", ("degrees", "begins at 4")),
        (NOISE.replace("Noise", "Erasing") + "area = [0.1, 2]\n", ("area", "equal to 1")),
        (NOISE.replace("Noise", "Erasing") + "ratio = [0, 2]\n", ("ratio", "greater than 0")),
        (NOISE.replace("Noise", "Ghosting") + "n_ghosts = [0, 2]\n", ("n_ghosts", "equal to 1")),
        (NOISE.replace("Noise", "Flip") + "axes = [3]\n", ("axes", "0, 1 or 2")),
        (NOISE.replace("Noise", "Affine") + "scales = 1\n", ("scales", "less than 1")),
        ('[transforms]\nnormalization = "minmax"\n', ("minmax", "min-max")),
        (
            '[transforms]\nnormalize = false\nnormalization = "z-score"\n',
            ("normalization means nothing without normalize",),
        ),
        ("[transforms]\nsize_reduction_factor = 3\n", ("nothing without size_reduction",)),
        ("[transforms]\nsize_reduction = true\nsize_reduction_factor = 6\n", ("equal to 5",)),
        (
            '[transforms.normalization]\nname = "percentile"\nlow_percentile = 99.5\n',
            ("low_percentile must be below high_percentile",),
        ),
    ],
)
def test_a_mistake_in_a_file_is_laid_at_its_door(tmp_path, text, words):
    with pytest.raises(InvalidDataError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert all(word in said for word in (*words, "experiment.toml")), said


def test_a_mistake_in_a_flag_is_a_usage_error():
    with pytest.raises(UsageError, match="Smoothing"):
        experiment({"data": DATA, "transforms": {"augmentation": ("Smooth",)}})


def test_another_package_can_add_an_augmentation(monkeypatch):
    from clinicadl.config import base
    from clinicadl.config.transforms import Noise

    monkeypatch.setattr(base, "_declared", {"clinicadl.augmentations": {"Loud": Noise}}.get)
    (row,) = TransformsConfig(augmentation=({"name": "Noise", "std": 1.0},)).augmentation
    assert row.std == 1.0
    with pytest.raises(ValueError, match="Loud"):
        TransformsConfig(augmentation=("Loudd",))
