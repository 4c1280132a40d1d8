"""How trained models are shared, and taken from others."""

from __future__ import annotations

from clinicadl.config.base import Section, setting


class PushConfig(Section):
    """What is told beside the weights."""

    about: str = setting("", "What the models are for, in a few sentences", max_length=5000)
    licence: str = setting(
        "", "Licence of the weights, such as mit (default: none is named)", max_length=100
    )
    cohorts: bool = setting(False, "Name the cohorts that were trained on", off="no-cohorts")
    signatures: bool = setting(
        False,
        "Give small signatures of the registered training images too, by which the guard knows a "
        "head under any name; they come from the images",
    )
    domain: bool = setting(
        True,
        "Read the training images, and tell what images are like that the models know",
        off="no-domain",
    )
    public: bool = setting(
        False, "Let everybody see a new repository of the Hugging Face hub", off="private"
    )


class ExportConfig(Section):
    """Which network becomes an ONNX file."""

    split: int | None = setting(None, "Split (default: the only one)", short="s", ge=0)
    selection_metric: str | None = setting(
        None, "Selection metric of the best model (default: the only one)", short="sm"
    )
    network: int | None = setting(
        None, "Network of a part, where each has one (default: the only one)", ge=0
    )
    overwrite: bool = setting(False, "Replace the file", short="o")
