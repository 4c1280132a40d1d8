"""The network of domain adaptation: three heads, and a gradient that is turned round."""

from __future__ import annotations

import copy

import pytest
import torch

from clinicadl.config.network import NETWORKS
from clinicadl.networks.adaptation import reverse_gradient

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
HEADS = ("fc_class_source", "fc_class_target", "fc_domain")


def ssda(shape=(1, 20, 24), n_outputs=2):
    return NETWORKS["Conv5_FC3_SSDA"]().build(shape, n_outputs)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 169, 208, 179), 126_292_476),
        ((1, 50, 50, 50), 4_487_676),
        ((3, 128, 128), 8_285_436),
        ((1, 128, 128), 8_285_292),
    ],
)
def test_it_has_as_many_parameters_as_the_published_one(shape, expected):
    with torch.device("meta"):
        network = ssda(shape)
    assert sum(weight.numel() for weight in network.parameters()) == expected


def test_weights_have_the_names_of_the_published_files():
    expected = {f"convolutions.{i}.{of}" for i in (0, 4, 8, 12, 16) for of in ("weight", "bias")}
    expected |= {f"convolutions.{i}.{of}" for i in (1, 5, 9, 13, 17) for of in BATCH_NORM}
    both = ("weight", "bias")
    expected |= {f"{head}.{i}.{of}" for head in HEADS for i in (2, 4, 6) for of in both}
    assert set(ssda().state_dict()) == expected


def test_the_domain_has_two_outputs_whatever_the_number_of_classes():
    said = ssda(n_outputs=5).eval()(torch.rand(3, 1, 20, 24))
    assert [one.shape for one in said] == [(3, 5), (3, 5), (3, 2)]


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_values_pass_and_gradients_turn_round(alpha):
    features = torch.randn(4, 3, requires_grad=True)
    reversed_ = reverse_gradient(features, alpha)
    assert torch.equal(reversed_, features)
    (reversed_ * torch.arange(12.0).reshape(4, 3)).sum().backward()
    assert torch.equal(features.grad, -alpha * torch.arange(12.0).reshape(4, 3))


def test_the_heads_of_classes_pull_the_convolutions_and_that_of_the_domain_pushes_them():
    network, images = ssda().eval(), torch.rand(3, 1, 20, 24)

    def gradients(of, **settings):
        network.zero_grad()
        getattr(network(images, **settings), of).sum().backward()
        return network.convolutions[0].weight.grad.clone()

    def plain(head):
        network.zero_grad()
        getattr(network, head)(network.convolutions(images)).sum().backward()
        return network.convolutions[0].weight.grad.clone()

    for name, head in (("source", HEADS[0]), ("target", HEADS[1])):
        assert torch.equal(gradients(name, alpha=0.5), plain(head))
    torch.testing.assert_close(gradients("domain", alpha=0.5), -0.5 * plain(HEADS[2]))
    torch.testing.assert_close(gradients("domain"), -plain(HEADS[2]))
    network.zero_grad()
    network(images, alpha=0.0).domain.sum().backward()
    assert network.fc_domain[6].weight.grad.any()
    assert not network.convolutions[0].weight.grad.any()


def test_heads_of_the_domain_of_release_1_are_read_with_their_own_shape():
    # There they had as many outputs as there were classes.
    network = ssda(n_outputs=3)
    published = copy.deepcopy(network)
    published.fc_domain[6] = torch.nn.Linear(50, 3)
    state = published.state_dict()
    network.load_state_dict(state)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert network.eval()(torch.rand(2, 1, 20, 24)).domain.shape == (2, 3)
    network.load_state_dict(ssda(n_outputs=3).state_dict())
    assert network(torch.rand(2, 1, 20, 24)).domain.shape == (2, 2)
