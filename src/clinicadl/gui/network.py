"""A look at the network of an experiment: its layers, its parameters, the memory it needs."""

from __future__ import annotations

from typing import Any

from clinicadl.config.experiment import ExperimentConfig
from clinicadl.config.task import Classification
from clinicadl.engine.devices import resolve
from clinicadl.engine.need import available, in_gb, need
from clinicadl.engine.plan import network_of
from clinicadl.errors import UsageError
from clinicadl.networks.fits import check_task
from clinicadl.networks.listing import layers
from clinicadl.tables.sessions import DIAGNOSIS

_CLASSES = 2
"""Classes, where neither the codes nor the diagnoses say how many."""


def seen(config: ExperimentConfig, input_shape: tuple[int, ...], n_parts: int) -> dict[str, Any]:
    """Return what a network is, as values of JSON; it is built on torch's meta device.

    Parameters
    ----------
    config
        The experiment.
    input_shape
        Of what the network gets, channel first.
    n_parts
        Parts of an image.

    Raises
    ------
    UsageError
        The network cannot learn the task, or not from such images; or there is no such device.
    """
    check_task(config.network, config.task.kind)
    n_outputs = _n_outputs(config)
    network = network_of(config, input_shape, n_parts, n_outputs)
    listed = layers(config.network, input_shape, n_outputs=n_outputs)
    device = resolve(config.compute)
    try:
        needed = need(config, network, input_shape, n_parts, device)
    except ValueError as error:
        raise UsageError(
            "The network cannot normalize a batch that holds one such small image",
            where="--batch_size", found=config.optimization.batch_size, fix="Give more images",
        ) from error  # fmt: skip
    free = available(device)
    return {
        "input_shape": input_shape,
        "n_outputs": n_outputs,
        "n_networks": n_parts if config.multi_network else 1,
        "n_parameters": sum(one.numel() for one in network.parameters()),
        "n_learning": sum(one.numel() for one in network.parameters() if one.requires_grad),
        "layers": [one._asdict() for one in listed],
        "memory": {
            "total": in_gb(needed.total),
            "weights": in_gb(needed.weights),
            "activations": in_gb(needed.activations),
            "free": None if free is None else in_gb(free),
            "fits": free is None or needed.total <= free,
            "where": "GPU" if device.torch_device.type == "cuda" else "CPU",
        },
    }


def _n_outputs(config: ExperimentConfig) -> int:
    """Return the outputs of the network, as far as the settings alone tell."""
    settings, codes = config.task, {}
    if isinstance(settings, Classification):
        names = config.data.diagnoses if settings.label == DIAGNOSIS else None
        classes = names if names and len(names) > 1 else range(_CLASSES)
        codes = settings.label_code or {str(name): i for i, name in enumerate(classes)}
    n_outputs: int = settings.build(codes).n_outputs
    return n_outputs
