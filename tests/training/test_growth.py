from __future__ import annotations

import torch

from virtual_codec.networks import DescriptionNet, PostprocessNet, UShapedPostprocessNet
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.growth import grown_state
from virtual_codec.training.joint import JointNetworks
from virtual_codec.training.jpeg_recipes import joint_2
from virtual_codec.training.loop import load_matching_weights


def taught(network: torch.nn.Module) -> torch.nn.Module:
    """The network with every weight moved, as training would."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def test_a_grown_network_begins_as_the_one_it_grew_from() -> None:
    torch.manual_seed(0)
    picture, condition = torch.rand(2, 3, 16, 16), torch.rand(2, CONDITION_SIZE)
    for scale in (1, 2):
        small = taught(PostprocessNet(scale=scale, channels=8, blocks=1))
        large = PostprocessNet(scale=scale, channels=12, blocks=3)
        untouched = large(picture, condition)
        load_matching_weights(large, small.state_dict())
        assert torch.allclose(large(picture, condition), small(picture, condition), atol=1e-6)
        assert not torch.allclose(large(picture, condition), untouched, atol=1e-3)


def test_a_grown_u_shape_begins_as_the_one_it_grew_from() -> None:
    torch.manual_seed(0)
    picture, condition = torch.rand(2, 3, 32, 32), torch.rand(2, CONDITION_SIZE)
    small = taught(UShapedPostprocessNet(scale=2, widths="8-12-16", down="2-1-1", up="1-1"))
    large = UShapedPostprocessNet(scale=2, widths="12-16-24", down="2-2-1", up="2-1")
    load_matching_weights(large, small.state_dict())
    assert torch.allclose(large(picture, condition), small(picture, condition), atol=1e-5)
    large(picture, condition).square().mean().backward()
    gradient = large.get_parameter("tail.weight").grad
    assert gradient is not None
    assert gradient[:, 8:].abs().sum() > 0, "the new channels are asked for"


def test_a_narrower_u_shape_takes_no_convolution() -> None:
    small = UShapedPostprocessNet(scale=1, widths="8-12", down="1-1", up="1")
    wide = taught(UShapedPostprocessNet(scale=1, widths="12-16", down="1-1", up="1"))
    before = small.state_dict()
    state = grown_state(before, wide.state_dict())
    assert all(torch.equal(state[name], value) for name, value in before.items() if value.ndim == 4)


def test_added_layers_get_gradients() -> None:
    torch.manual_seed(0)
    small = taught(DescriptionNet(channels=8, blocks=1))
    large = DescriptionNet(channels=12, blocks=2)
    load_matching_weights(large, small.state_dict())
    before = {name: value.clone() for name, value in large.state_dict().items()}
    picture, condition = torch.rand(2, 3, 16, 16), torch.rand(2, CONDITION_SIZE)
    optimizer = torch.optim.SGD(large.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        large(picture, condition).square().mean().backward()
        optimizer.step()
    after = large.state_dict()
    for name in ("tail.weight", "body.expand.0.weight", "body.reduce.1.weight"):
        assert not torch.equal(after[name], before[name])
    assert not torch.equal(after["tail.weight"][:, 8:], before["tail.weight"][:, 8:])


def test_a_pair_grows_in_both_its_networks() -> None:
    config: TrainConfig = joint_2()
    small = {name: torch.rand(2) for name in ("elsewhere",)} | JointNetworks(config).state_dict()
    large = grown_state(JointNetworks(config).state_dict(), small)
    assert all(torch.equal(large[name], value) for name, value in small.items() if name != "elsewhere")
    assert "elsewhere" not in large


def test_a_larger_network_is_not_cut_down() -> None:
    large = taught(PostprocessNet(scale=1, channels=12, blocks=2))
    small = PostprocessNet(scale=1, channels=8, blocks=1)
    before = small.state_dict()
    after = grown_state(before, large.state_dict())
    assert torch.equal(after["body.expand.0.weight"], before["body.expand.0.weight"])
