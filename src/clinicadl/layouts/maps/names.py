"""Every file and folder name in a MAPS, one function a name."""

from __future__ import annotations

import re
from pathlib import Path

TRAIN, VALIDATION = "train", "validation"
OWN_GROUPS = (TRAIN, VALIDATION)
"""The data groups that every split has: what it was fitted on, and what chose its best models."""
ACCEPTED = "accepted_leakage"
"""Column of tables of results that says why they were made in spite of the guard."""

_INTERPRETATION = "interpret-"
_NETWORK = re.compile(r"network-(\d+)_model\.safetensors")


def record(maps: Path) -> Path:
    """Return the file that describes the experiment."""
    return maps / "maps.json"


def is_maps(path: Path) -> bool:
    """Return whether a folder is a MAPS, of any release."""
    return record(path).is_file()


def moved(maps: Path) -> Path:
    """Return the file that says where data lie now that were moved."""
    return maps / "moved.json"


def pruned(maps: Path) -> Path:
    """Return the file that says where a search ended a training that fell behind others."""
    return maps / "pruned.json"


def environment(maps: Path) -> Path:
    """Return the list of installed packages."""
    return maps / "environment.txt"


def information(maps: Path) -> Path:
    """Return the log with date, path and layers."""
    return maps / "information.log"


def ledger(maps: Path) -> Path:
    """Return the table of all looks at data groups."""
    return maps / "ledger.tsv"


def lock(maps: Path) -> Path:
    """Return the file that the writing process holds, and trainings of several splits share."""
    return maps / ".lock"


def jobs(maps: Path) -> Path:
    """Return the folder of the logs of jobs, with one for each time that some were submitted."""
    return maps / "jobs"


def groups(maps: Path) -> Path:
    """Return the folder of the data groups."""
    return maps / "groups"


def seen(maps: Path) -> Path:
    """Return the table of everybody that the models have seen, their ancestors' included."""
    return groups(maps) / "train+validation.tsv"


def seen_signatures(maps: Path) -> Path:
    """Return the file of what the images show that the models have seen."""
    return groups(maps) / "train+validation_signatures.npz"


def seen_pairs(maps: Path) -> Path:
    """Return the picture of images of train and validation that seem to show one head."""
    return groups(maps) / "train+validation_pairs.png"


def group(maps: Path, name: str, split: int | None = None) -> Path:
    """Return the folder that says who is in a data group; train and validation have one a split."""
    folder = groups(maps) / name
    return folder if split is None else folder / _split(split)


def group_table(folder: Path) -> Path:
    """Return the table of a data group."""
    return folder / "data.tsv"


def group_origin(folder: Path) -> Path:
    """Return the file that says where a data group came from."""
    return folder / "maps.json"


def group_signatures(folder: Path) -> Path:
    """Return the file of what the images of a data group show."""
    return folder / "signatures.npz"


def group_pairs(folder: Path) -> Path:
    """Return the picture of images of a data group that seem to show a head known otherwise."""
    return folder / "pairs.png"


def split(maps: Path, number: int) -> Path:
    """Return the folder of a split."""
    return maps / _split(number)


def unfinished(maps: Path, number: int) -> Path:
    """Return the folder that exists only while a split is being trained."""
    return split(maps, number) / "tmp"


def split_lock(maps: Path, number: int) -> Path:
    """Return the file that the process holds which trains a split."""
    # It stays: some file systems cannot remove the folder of an open file.
    return split(maps, number) / ".lock"


def checkpoint(maps: Path, number: int, network: int | None = None) -> Path:
    """Return the file from which a network of a split goes on."""
    return unfinished(maps, number) / f"{_network(network)}checkpoint.safetensors"


def diverged(maps: Path, number: int, network: int | None = None) -> Path:
    """Return the file that keeps a network as it was when its loss was no number any more."""
    return unfinished(maps, number) / f"{_network(network)}diverged.safetensors"


def former_checkpoint(maps: Path, number: int, network: int | None = None) -> Path:
    """Return the checkpoint before that one, from which it goes on where that one is damaged."""
    return unfinished(maps, number) / f"{_network(network)}former_checkpoint.safetensors"


def epoch_weights(maps: Path, number: int, epoch: int, network: int | None = None) -> Path:
    """Return the weights after one epoch, kept on request."""
    folder = split(maps, number) / "all_models"
    return folder / f"{_network(network)}model_epoch_{epoch}.safetensors"


def profiler(maps: Path, number: int, when: str) -> Path:
    """Return the folder of what was recorded of the time of a split, begun at HH:MM:SS."""
    return maps / "profiler" / f"clinicadl_{when}" / f"split-{number}"


def profiles(maps: Path, number: int) -> list[Path]:
    """Return what was recorded of the time of a split, a folder for each time it was trained."""
    return sorted(maps.glob(f"profiler/clinicadl_*/{_split(number)}"))


def logs(maps: Path, number: int, network: int | None = None) -> Path:
    """Return the folder of the training logs of a network of a split."""
    folder = split(maps, number) / "training_logs"
    return folder if network is None else folder / f"network-{network}"


def training_log(maps: Path, number: int, network: int | None = None) -> Path:
    """Return the table of metrics by epoch."""
    return logs(maps, number, network) / "training.tsv"


def training_logs(maps: Path, number: int) -> list[Path]:
    """Return the tables of metrics that are there: one, or one a network, in their order."""
    one = training_log(maps, number)
    return [one] if one.exists() else sorted(one.parent.glob(f"network-*/{one.name}"))


def tensorboard(maps: Path, number: int, part: str, network: int | None = None) -> Path:
    """Return the folder of TensorBoard's events of train or validation."""
    return logs(maps, number, network) / "tensorboard" / part


def tracked_run(maps: Path, number: int, tracker: str, network: int | None = None) -> Path:
    """Return the file that says which run of a tracker a network of a split is."""
    return logs(maps, number, network) / f"{tracker}.json"


def mlflow_store(maps: Path) -> Path:
    """Return the data base of MLflow."""
    return maps / "mlruns" / "mlflow.db"


def wandb_runs(maps: Path) -> Path:
    """Return the folder of the runs of Weights & Biases."""
    return maps / "wandb"


def emissions(maps: Path) -> Path:
    """Return the table of energy and emissions, a row for each time that a split was trained."""
    return maps / "emissions.csv"


def best(maps: Path, number: int | None, metric: str) -> Path:
    """Return the folder of the best model by one selection metric; None: the ensemble of splits."""
    return _home(maps, number) / f"best-{metric}"


def weights(maps: Path, number: int, metric: str, network: int | None = None) -> Path:
    """Return the weights of the best model by one selection metric, or of its n-th network."""
    return best(maps, number, metric) / f"{_network(network)}model.safetensors"


def results(maps: Path, number: int | None, metric: str, name: str) -> Path:
    """Return the folder of what a best model said of a data group; None: what the ensemble said."""
    return best(maps, number, metric) / name


def predictions(folder: Path, mode: str) -> Path:
    """Return the table of predictions in a folder of results."""
    return folder / f"{folder.name}_{mode}_level_prediction.tsv"


def metrics(folder: Path, mode: str) -> Path:
    """Return the table of metrics in a folder of results."""
    return folder / f"{folder.name}_{mode}_level_metrics.tsv"


def metrics_tables(folder: Path) -> list[Path]:
    """Return the tables of metrics that are in a folder of results."""
    return sorted(folder.glob(f"{folder.name}_*_level_metrics.tsv"))


def description(folder: Path) -> Path:
    """Return the log that says what a folder of results is."""
    return folder / "description.log"


def guard(folder: Path) -> Path:
    """Return what the guard said before the results of a folder were made."""
    return folder / "guard.json"


def kept_tensor(folder: Path, sample: str, kind: str) -> Path:
    """Return the tensor of a sample in a folder of results.

    Parameters
    ----------
    folder
        The folder of results.
    sample
        Participant, session and part: ``sub-1_ses-M000_patch-3``.
    kind
        ``input``: as the network got it; ``output``: what it gave back.
    """
    return folder / "tensors" / f"{sample}_{kind}.pt"


def latent_tensor(folder: Path, sample: str) -> Path:
    """Return the code of a sample in a folder of results; ``sample`` as in `kept_tensor`."""
    return folder / "latent_tensors" / f"{sample}_latent.pt"


def kept_image(folder: Path, image: str, kind: str) -> Path:
    """Return the NIfTI of an image in a folder of results; ``image`` ends in ``_image``."""
    return kept_images(folder) / f"{image}_{kind}.nii.gz"


def kept_images(folder: Path) -> Path:
    """Return the folder of the NIfTI in a folder of results."""
    return folder / "nifti_images"


def interpretation(folder: Path, name: str) -> Path:
    """Return the folder of an interpretation, in a folder of results."""
    return folder / f"{_INTERPRETATION}{name}"


def interpretations(folder: Path) -> list[Path]:
    """Return the folders of the interpretations that are in a folder of results."""
    return sorted(path for path in folder.glob(f"{_INTERPRETATION}*") if path.is_dir())


def attribution(folder: Path, what: str, suffix: str) -> Path:
    """Return a map in the folder of an interpretation.

    Parameters
    ----------
    folder
        The folder of the interpretation.
    what
        Whose map: ``mean_patch-3``, ``sub-1_ses-M000_image``.
    suffix
        ``.pt``, or that of NIfTI.
    """
    return folder / f"{what}_map{suffix}"


def method(folder: Path) -> Path:
    """Return what says how the maps of an interpretation were made."""
    return folder / "method.json"


def judged(folder: Path, what: str) -> Path:
    """Return a table of an interpretation: ``scores``, ``sanity`` or ``regions``."""
    return folder / f"{what}.tsv"


def hashes(folder: Path) -> Path:
    """Return the list of hashes of what was written into a folder."""
    return folder / "sha256.json"


def split_numbers(maps: Path) -> list[int]:
    """Return the splits that have a folder, in order."""
    found = (path.name.removeprefix("split-") for path in maps.glob("split-*") if path.is_dir())
    return sorted(int(number) for number in found if number.isdigit())


def selection_metrics(maps: Path, number: int | None) -> list[str]:
    """Return the metrics by which a split has a best model, or an ensemble was asked (None)."""
    folders = _home(maps, number).glob("best-*")
    return sorted(path.name.removeprefix("best-") for path in folders if path.is_dir())


def networks(maps: Path, number: int, metric: str) -> list[int | None]:
    """Return the numbers of the networks of a best model, in order; None where it has one."""
    stored = [path.name for path in best(maps, number, metric).glob("*model.safetensors")]
    if "model.safetensors" in stored:
        return [None]
    found = (_NETWORK.fullmatch(name) for name in stored)
    return [*sorted(int(match[1]) for match in found if match)]


def _home(maps: Path, number: int | None) -> Path:
    return maps / "ensemble" if number is None else split(maps, number)


def _split(number: int) -> str:
    return f"split-{number}"


def _network(number: int | None) -> str:
    return "" if number is None else f"network-{number}_"
