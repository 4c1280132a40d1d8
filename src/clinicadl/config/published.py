"""The one map from the settings of release 1.6.1 to ours."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from math import lcm
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from clinicadl.config.base import Table, places
from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.names import nearest
from clinicadl.errors import InvalidDataError, listed

logger = logging.getLogger(__name__)

TASK_SECTIONS = {"Classification": "classification", "Regression": "regression",
          "Reconstruction": "reconstruction"}  # fmt: skip
"""Section -> the task that it is of."""
_SKIPPED = ("Random_Search",)

PARAMETERS: dict[str, Any] = {
    "dropout": 0.0, "latent_space_size": 128, "feature_size": 1024, "n_conv": 4,
    "io_layer_channels": 8, "recons_weight": 1, "kl_weight": 1,
}  # fmt: skip
"""Key -> its default, of the parameters of networks; some are settings of our tasks."""
_DRAWN = ("convolutions_dict", "n_fcblocks", "network_normalization")
"""Keys of what a random search drew."""
_PARAMETER = "*"

SETTINGS: dict[str, dict[str, str]] = {
    "Model": {"architecture": "network.name", "multi_network": "multi_network"},
    "Architecture": dict.fromkeys(PARAMETERS, _PARAMETER),
    "Classification": {
        "selection_metrics": "task.selection_metrics",
        "label": "task.label",
        "label_code": "task.label_code",
        "selection_threshold": "task.selection_threshold",
        "loss": "task.loss",
    },
    "Regression": {
        "selection_metrics": "task.selection_metrics", "label": "task.label", "loss": "task.loss"
    },
    "Reconstruction": {"selection_metrics": "task.selection_metrics", "loss": "task.loss"},
    "Computational": {
        "gpu": "compute.gpu",
        "n_proc": "compute.n_proc",
        "batch_size": "optimization.batch_size",
        "evaluation_steps": "optimization.evaluation_steps",
        "amp": "compute.amp",
        "fully_sharded_data_parallel": "compute.strategy",
    },
    "Reproducibility": {
        "seed": "reproducibility.seed",
        "deterministic": "reproducibility.deterministic",
        "compensation": "reproducibility.compensation",
        "track_exp": "tracking.track_exp.name",
    },
    "Transfer_learning": {
        "transfer_path": "transfer.transfer_path",
        "transfer_selection_metric": "transfer.transfer_selection_metric",
        "nb_unfrozen_layer": "transfer.nb_unfrozen_layer",
    },
    "Mode": {},
    "Data": {
        "multi_cohort": "data.multi_cohort",
        "diagnoses": "data.diagnoses",
        "baseline": "data.baseline",
        "valid_longitudinal": "data.valid_longitudinal",
        "normalize": "transforms.normalize",
        "data_augmentation": "transforms.augmentation",
        "sampler": "data.sampler",
        "size_reduction": "transforms.size_reduction",
        "size_reduction_factor": "transforms.size_reduction_factor",
    },
    "Cross_validation": {"n_splits": "validation.n_splits", "split": "validation.split"},
    "Optimization": {
        "optimizer": "optimization.optimizer",
        "epochs": "optimization.epochs",
        "learning_rate": "optimization.learning_rate",
        "adaptive_learning_rate": "optimization.adaptive_learning_rate",
        "weight_decay": "optimization.weight_decay",
        "patience": "optimization.patience",
        "tolerance": "optimization.tolerance",
        "accumulation_steps": "optimization.accumulation_steps",
        "profiler": "compute.profiler",
        "save_all_models": "optimization.save_all_models",
    },
    "Informations": {"emissions_calculator": "tracking.track_emissions"},
}  # fmt: skip
"""Section -> key -> where we have it."""

NOT_YET: dict[str, dict[str, Any]] = {
    "Model": {"ssda_network": False},
    "Data": {
        "caps_target": "", "tsv_target_lab": "", "tsv_target_unlab": "",
        "preprocessing_dict_target": "",
    },
}  # fmt: skip
"""Section -> key -> its default, of what we cannot do: another value cannot be honoured."""

UNREAD: dict[str, tuple[str, ...]] = {
    "Architecture": ("normalization",),
    "Mode": ("use_extracted_features",),
}
"""Section -> keys that release 1.6.1 takes and no part of it reads."""

FIXED: dict[str, dict[str, Any]] = {
    "ResNet3D": {"dropout": 0.8},
    "SqueezeExcitationCNN": {"dropout": 0.5},
    "CVAE_3D": {"loss": "VAEGaussianLoss", "recons_weight": 1.0, "kl_weight": 5.0},
}
"""Network -> key -> the value that release 1.6.1 computes with, whatever anybody says."""

_WEIGHTS = ("recons_weight", "kl_weight")
_WEIGHED = ("Vanilla3DdenseVAE", "VanillaDenseVAE", "CVAE_3D_half", "CVAE_3D_final_conv")
"""Networks whose losses release 1.6.1 weighs."""

RECORDED = {
    "caps_directory": "data.caps_directory",
    "tsv_path": "data.tsv_directory",
    "preprocessing_dict": "data.preprocessing_json",
    **dict.fromkeys(_DRAWN, _PARAMETER),
}
"""Keys that only a record has -> where we have them."""

TASK = "network_task"
"""Key of a record that names the task."""

DERIVED = (
    TASK, "mode", "validation", "num_networks", "output_size", "input_size", "channels_limit",
    "wd_bool",
)  # fmt: skip
"""Keys that only a record has, and that follow from others."""

EXTRACTION = (
    "preprocessing", "use_uncropped_image", "prepare_dl", "extract_json", "file_type",
    "custom_suffix", "tracer", "acq_label", "suvr_reference_region", "dti_measure", "dti_space",
    "patch_size", "stride_size", "slice_direction", "slice_mode", "discarded_slices", "num_slices",
    "roi_list", "uncropped_roi", "roi_custom_template", "roi_custom_mask_pattern", "roi_template",
    "roi_mask_pattern", "masks_location", "roi_background_value",
)  # fmt: skip
"""Keys of an extraction JSON, which stand in old records themselves."""

RENAMED = {
    "model": "architecture", "multi": "multi_network", "minmaxnormalization": "normalize",
    "num_workers": "n_proc",
}  # fmt: skip
"""Old key -> key."""
OPPOSITES = {"use_cpu": "gpu", "nondeterministic": "deterministic"}
"""Old key -> the key that says the opposite."""

_EMPTY: tuple[Any, ...] = (None, False, "", [], {})
_PATHS = ("caps_directory", "tsv_path", "transfer_path")
_OF_TRANSFER = ("transfer_selection_metric", "nb_unfrozen_layer")
_DEFAULTS = {
    **PARAMETERS, "size_reduction_factor": 2, "split": [], "loss": "MSELoss",
    "transfer_selection_metric": "loss", "nb_unfrozen_layer": 0,
}  # fmt: skip
"""Values that may be passed over in silence where they have no effect."""


class Translated(NamedTuple):
    """What a file of release 1.6.1 says."""

    settings: dict[str, Any]
    """Nested as our sections are; only what was said."""
    spelt: dict[tuple[str, ...], str]
    """Where a setting stands in our configuration -> where it stands in the file."""
    unsupported: dict[str, Any]
    """Key -> value that we cannot honour."""
    idle: tuple[str, ...] = ()
    """Keys that have no effect here."""


class _Said(NamedTuple):
    key: str
    value: Any
    spelt: str
    """The key as the file has it, with its section."""
    written: Any
    """The value as the file has it."""


_Values = Mapping[str, _Said]


def is_published(content: Mapping[str, Any]) -> bool:
    """Return whether settings were written for release 1.6.1: capitalized sections, or a record.

    Examples
    --------
    >>> is_published({"Model": {}}), is_published({"network": {}})
    (True, False)
    """
    return TASK in content or _has_sections(content)


def _has_sections(content: Mapping[str, Any]) -> bool:
    return any(name[:1].isupper() for name in content)


def translated(content: Mapping[str, Any], *, task: str | None, where: Path) -> Translated:
    """Return the settings of a file of release 1.6.1 as ours.

    Parameters
    ----------
    content
        Sections of keys, or all keys of a record beside each other.
    task
        What is to be learnt: what the file says of other tasks is passed over. None: what the file
        is about.
    where
        The file, for messages.

    Raises
    ------
    InvalidDataError
        A section, key, task or network is unknown, or two names of one key contradict each other.
    """
    task = _known("task", task or _task(content), where)
    said = (
        _of_sections(content, task, where) if _has_sections(content) else _of_record(content, where)
    )
    values = _by_key(said, task, where)
    network = _network(values, task, where)
    settings: dict[str, Any] = {"task": {"name": task}}
    spelt, idle = {}, []
    where_of = _places(task, network)
    for key, path in where_of.items():
        value = _turned(values[key], values) if key in values else None
        if value is None:
            continue
        if path is None or _is_idle(key, values, network):
            if values[key].value != _DEFAULTS.get(key, values[key].value):
                idle.append(values[key].spelt)
            continue
        spelt[path] = values[key].spelt
        _put(settings, path, value)
    for key, value in FIXED.get(network, {}).items():
        _put(settings, where_of[key] or (), value)
    return Translated(settings, spelt, _unsupported(values), tuple(idle))


def warn_of_idle(found: Translated) -> None:
    """Log the keys that have no effect here."""
    for key in found.idle:
        logger.warning("%s has no effect here and is left out", key)


def _put(settings: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        settings = settings.setdefault(step, {})
    settings[path[-1]] = value


def _unsupported(values: _Values) -> dict[str, Any]:
    defaults = {key: default for keys in NOT_YET.values() for key, default in keys.items()}
    return {
        values[key].spelt: values[key].written
        for key, default in defaults.items()
        if key in values and values[key].value not in (default, *_EMPTY)
    }


def extraction(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of its extraction JSON; old records have its keys themselves."""
    nested = content.get("preprocessing_dict")
    if isinstance(nested, Mapping):
        return dict(nested)
    return {key: content[key] for key in (*EXTRACTION, "mode") if key in content}


def _task(content: Mapping[str, Any]) -> str:
    """Return the task that a file is about, as far as it says so."""
    named = [task for section, task in TASK_SECTIONS.items() if section in content]
    if TASK in content:
        return str(content[TASK])
    return named[0] if len(named) == 1 else "classification"


def keys_of(section: str) -> list[str]:
    """Return the keys of a section, old ones last."""
    known = [*SETTINGS[section], *NOT_YET.get(section, ()), *UNREAD.get(section, ())]
    old = {**RENAMED, **OPPOSITES}
    return [*known, *(name for name, key in old.items() if key in known)]


def _all_keys() -> list[str]:
    of_sections = [key for section in SETTINGS for key in keys_of(section)]
    return list(dict.fromkeys([*of_sections, *RECORDED, *DERIVED, *EXTRACTION]))


def _of_sections(content: Mapping[str, Any], task: str, where: Path) -> Iterator[_Said]:
    """Yield what a file says, section by section.

    Raises
    ------
    InvalidDataError
        A section or key is unknown.
    """
    for section, keys in content.items():
        if section in _SKIPPED or TASK_SECTIONS.get(section, task) != task:
            continue
        if section not in SETTINGS or not isinstance(keys, Mapping):
            raise InvalidDataError(
                f"The section {section} is not known beside those of release 1.6.1", where=where,
                fix=f"The nearest known one is {listed(nearest(section, SETTINGS))}",
            )  # fmt: skip
        for key, value in keys.items():
            if key not in keys_of(section):
                _refuse_key(key, section, f"{where}, {section}")
            yield _Said(key, value, f"{section}.{key}", value)


def _refuse_key(key: str, section: str, where: str) -> NoReturn:
    """Say that a section has no such key.

    Raises
    ------
    InvalidDataError
        Always.
    """
    homes = [one for one in SETTINGS if key in keys_of(one)]
    near = nearest(key, keys_of(section) or _all_keys())
    fix = f"It belongs to {listed(homes)}" if homes else f"The nearest known one is {listed(near)}"
    raise InvalidDataError(f"The key {key} is not known", where=where, fix=fix)


def _of_record(content: Mapping[str, Any], where: Path) -> Iterator[_Said]:
    """Yield what a record says.

    Raises
    ------
    InvalidDataError
        A key is unknown.
    """
    known = _all_keys()
    for key, value in content.items():
        if key not in known:
            raise InvalidDataError(
                f"The key {key} is not known", where=where,
                fix=f"The nearest known one is {listed(nearest(key, known))}",
            )  # fmt: skip
        yield _Said(key, value, key, value)
    if "preprocessing_dict" not in content:
        gathered = extraction(content)
        yield _Said("preprocessing_dict", gathered, "extract_json", gathered)


def _by_key(said: Iterable[_Said], task: str, where: Path) -> dict[str, _Said]:
    """Return what was said, by its present key.

    Raises
    ------
    InvalidDataError
        A key and its old name contradict each other.
    """
    found: dict[str, _Said] = {}
    for given in said:
        one = given._replace(key=RENAMED.get(given.key, given.key))
        if given.key in OPPOSITES:
            one = given._replace(key=OPPOSITES[given.key], value=not given.value)
        if one.key in found and found[one.key].value != one.value:
            raise InvalidDataError(
                f"{found[one.key].spelt} and {one.spelt} contradict each other", where=where,
                fix="They mean the same: keep one of them",
            )  # fmt: skip
        found[one.key] = one
    if TASK in found and found[TASK].value != task:
        # Label, loss and metrics of a record belong to its task, as its sections would.
        own = [key for section in TASK_SECTIONS for key in SETTINGS[section]]
        return {key: one for key, one in found.items() if key not in own}
    return found


def _known(field: str, name: str, where: Path) -> str:
    """Return the name of a task or network if we have it.

    Raises
    ------
    InvalidDataError
        We have none of this name.
    """
    metadata = ExperimentConfig.model_fields[field].metadata
    rows = next(item for item in metadata if isinstance(item, Table)).all_rows()
    if name not in rows:
        raise InvalidDataError(
            f"The {field} {name} is not known here", where=where,
            fix=f"The known ones are {listed(rows, most=len(rows))}",
        )  # fmt: skip
    return name


def _network(values: _Values, task: str, where: Path) -> str:
    """Return the network that is meant, by default that of the task.

    Raises
    ------
    InvalidDataError
        We have none of this name.
    """
    name = _turned(values["architecture"], values) if "architecture" in values else None
    if name is not None:
        return _known("network", str(name), where)
    data = {"caps_directory": ".", "preprocessing_json": ".", "tsv_directory": "."}
    return ExperimentConfig.model_validate({"data": data, "task": {"name": task}}).network.name


def _places(task: str, network: str) -> dict[str, tuple[str, ...] | None]:
    """Return key -> where we have it; None for a parameter that neither of the two rows has."""
    rows = {"task": task, "network": network}
    ours = {place.path for place in places(ExperimentConfig, rows=rows)}
    sections = [keys for name, keys in SETTINGS.items() if TASK_SECTIONS.get(name, task) == task]
    found: dict[str, tuple[str, ...] | None] = {}
    for key, place in (pair for keys in (*sections, RECORDED) for pair in keys.items()):
        candidates = [tuple(place.split("."))]
        if place == _PARAMETER:
            candidates = [("network", key), ("task", key)]
        found[key] = next((path for path in candidates if path in ours), None)
    return found


def _is_idle(key: str, values: _Values, network: str) -> bool:
    """Return whether release 1.6.1 passes over a key because of what others say."""
    if key == "size_reduction_factor":
        return "size_reduction" not in values or not values["size_reduction"].value
    if key == "split":
        n_splits = values["n_splits"].value if "n_splits" in values else 0
        return isinstance(n_splits, int) and n_splits <= 1
    if key in _OF_TRANSFER:
        return "transfer_path" not in values or not values["transfer_path"].value
    if key in _WEIGHTS and network not in _WEIGHED:
        return True
    return key in FIXED.get(network, ())


def _turned(said: _Said, values: _Values) -> Any:
    """Return a value as we write it; None where it says no more than our default."""
    key, value = said.key, said.value
    if key in _PATHS or key in ("data_augmentation", "label_code"):
        return value or None
    if key == "architecture":
        return None if value == "default" else value
    if key == "amp":
        return "fp16" if value is True else None if value is False else value
    if key == "fully_sharded_data_parallel":
        return "fsdp" if value is True else None if value is False else value
    if key == "gpu":
        # On was its default, also where nobody said so: ours takes a GPU where there is one.
        return None if value is True else value
    if key == "preprocessing_dict":
        return value.get("extract_json") if isinstance(value, Mapping) else value or None
    if key == "track_exp":
        return value or None
    if key == "n_splits" and value == 1:
        return 0
    if key == "evaluation_steps" and "accumulation_steps" in values:
        # It counts batches, and evaluates where an update ends; ours counts updates.
        per_update = values["accumulation_steps"].value
        whole = isinstance(value, int) and isinstance(per_update, int) and per_update > 0
        return lcm(value, per_update) // per_update if whole else value
    return value


def refuse_unsupported(found: Translated, where: Path) -> None:
    """Refuse settings that we cannot honour.

    Raises
    ------
    InvalidDataError
        There are some; they are named.
    """
    if found.unsupported:
        raise InvalidDataError(
            "A setting of release 1.6.1 is not supported yet", where=where,
            found=listed(f"{key} = {value!r}" for key, value in found.unsupported.items()),
            fix="Leave it out, or at its default",
        )  # fmt: skip
