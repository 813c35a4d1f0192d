from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from virtual_codec.errors import BadModel
from virtual_codec.networks import (
    NETWORKS,
    DescriptionNet,
    PostprocessNet,
    UShapedPostprocessNet,
    build,
    enlarge,
    shrink,
)
from virtual_codec.networks.condition import CONDITION_SIZE, condition

SMALL: dict[str, tuple[str, dict[str, int | float | str | bool]]] = {
    "postprocess at scale 1": ("postprocess", {"scale": 1, "channels": 8, "blocks": 2}),
    "postprocess at scale 2": ("postprocess", {"scale": 2, "channels": 8, "blocks": 2}),
    "postprocess of two views": ("postprocess", {"scale": 1, "channels": 8, "blocks": 2, "views": 2}),
    "postprocess of four views": ("postprocess", {"scale": 2, "channels": 8, "blocks": 2, "views": 4}),
    "u-shaped at scale 1": ("u-shaped-postprocess", {"scale": 1, "widths": "4-6-8", "down": "1-1-1", "up": "1-1"}),
    "u-shaped at scale 2": ("u-shaped-postprocess", {"scale": 2, "widths": "6-8", "down": "2-1", "up": "1"}),
    "description": ("description", {"channels": 8, "blocks": 2}),
}
PAPER = ("paper-description", "paper-postprocess", "paper-virtual-codec")


@pytest.fixture(params=list(SMALL.values()), ids=list(SMALL))
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    architecture, arguments = request.param
    return build(architecture, arguments)


def test_every_row_of_the_table_is_tried_here() -> None:
    assert {architecture for architecture, _ in SMALL.values()} | set(PAPER) == set(NETWORKS)


def with_open_relus(network: Any) -> Any:
    """A network that no ReLU shuts anything of: all weights are positive."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    return network


@pytest.mark.parametrize("architecture", PAPER)
def test_the_papers_networks_are_grey_and_scale_by_two(architecture: str) -> None:
    network = with_open_relus(build(architecture, {"width": 4}))
    output = network(torch.rand(2, 1, 32, 48))
    assert output.shape == (2, 1, round(32 * network.ratio), round(48 * network.ratio))
    output.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("architecture", PAPER)
def test_the_papers_networks_see_no_further_than_their_radius(architecture: str) -> None:
    torch.manual_seed(1)
    network = with_open_relus(build(architecture, {"width": 4})).double()
    picture = torch.rand(1, 1, 96, 96, dtype=torch.float64)
    changed = picture.clone()
    changed[..., 0:2] = torch.rand(1, 1, 96, 2, dtype=torch.float64)
    difference = (network(picture) - network(changed)).abs().amax(dim=(0, 1, 2))
    assert difference[0] > 0
    assert difference[round((1 + network.radius) * network.ratio) :].max() == 0
    assert difference[: round((network.radius - 2) * network.ratio)].min() > 0


def test_the_papers_networks_have_the_published_size() -> None:
    sizes = {name: sum(p.numel() for p in build(name, {}).parameters()) for name in PAPER}
    described, restored = sizes["paper-description"], sizes["paper-postprocess"]
    assert (round(described / 1e6, 2), round(restored / 1e6, 2)) == (0.76, 0.91)
    assert sizes["paper-virtual-codec"] == restored


def test_it_scales_by_its_ratio(network: Any) -> None:
    output = network(torch.rand(2, 3, 32, 48), torch.zeros(2, CONDITION_SIZE))
    assert output.shape == (2, 3, round(32 * network.ratio), round(48 * network.ratio))


def test_every_parameter_gets_a_gradient(network: Any) -> None:
    with torch.no_grad():
        network.tail.weight.normal_(std=0.1)
    network(torch.rand(2, 3, 32, 32), torch.randn(2, CONDITION_SIZE)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_pixels_beyond_the_radius_change_nothing(network: Any) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        network.tail.weight.normal_(std=0.1)
    network.double()
    picture = torch.rand(1, 3, 96, 96, dtype=torch.float64)
    changed = picture.clone()
    changed[..., 0:2] = torch.rand(1, 3, 96, 2, dtype=torch.float64)
    vector = torch.zeros(1, CONDITION_SIZE, dtype=torch.float64)
    difference = (network(picture, vector) - network(changed, vector)).abs().amax(dim=(0, 1, 2))
    reach = round((2 + network.radius) * network.ratio)
    assert difference[:2].max() > 0
    assert difference[reach:].max() < 1e-12


U_SHAPED = {name: row for name, row in SMALL.items() if row[0] == "u-shaped-postprocess"}


@pytest.mark.parametrize(("architecture", "arguments"), list(U_SHAPED.values()), ids=list(U_SHAPED))
def test_the_radius_of_a_u_shaped_network_is_exact(
    architecture: str, arguments: dict[str, int | float | str | bool]
) -> None:
    torch.manual_seed(1)
    network: Any = build(architecture, arguments)
    with torch.no_grad():
        network.tail.weight.fill_(0.1)
    with_open_relus(network).double()
    vector = torch.ones(1, CONDITION_SIZE, dtype=torch.float64)
    size, middle = 24 * network.multiple, 12 * network.multiple
    before, after = set(), set()
    for start in range(middle, middle + network.multiple, network.stride):  # every place that shrinking tells apart
        end = start + network.stride
        picture = torch.rand(1, 3, network.multiple, size, dtype=torch.float64)
        changed = picture.clone()
        changed[..., start:end] += 0.5
        reached = (network(picture, vector) - network(changed, vector)).abs().amax(dim=(0, 1, 2)).nonzero()
        before.add(start - int(reached.min()) / network.ratio)
        after.add((int(reached.max()) + 1) / network.ratio - end)
    assert max(before) == max(after) == network.radius


def test_the_released_u_shape_has_the_radius_and_multiple_of_its_description() -> None:
    networks = [UShapedPostprocessNet(scale=scale, widths="48-80-128", down="2-1-1", up="2-1") for scale in (1, 2)]
    assert [(it.radius, it.multiple, it.stride) for it in networks] == [(58, 8, 2), (29, 4, 1)]
    assert [round(sum(p.numel() for p in it.parameters()) / 1e6, 2) for it in networks] == [0.88, 0.88]


GOOD_TRUNK: dict[str, int | float | str | bool] = {"scale": 1, "widths": "4-6", "down": "1-1", "up": "1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": "4"}, "at least two numbers"),
        ({"down": "1-1-1"}, "down as many"),
        ({"up": "1-1"}, "up one less"),
        ({"widths": "4-x"}, "joined by hyphens"),
        ({"down": "1-0"}, "above 0"),
        ({"widths": ""}, "joined by hyphens"),
        ({"scale": 3}, "scale must be 1 or 2"),
    ],
)
def test_a_u_shape_that_cannot_be_is_a_bad_model(arguments: dict[str, int | float | str | bool], message: str) -> None:
    with pytest.raises(BadModel, match=message):
        build("u-shaped-postprocess", {**GOOD_TRUNK, **arguments})


def test_the_condition_changes_the_answer(network: Any) -> None:
    with torch.no_grad():
        network.tail.weight.normal_(std=0.1)
    picture = torch.rand(1, 3, 32, 32)
    answers = [network(picture, torch.full((1, CONDITION_SIZE), value)) for value in (-1.0, 1.0)]
    assert not torch.equal(*answers)


def test_a_picture_alone_gets_what_it_gets_in_company(network: Any) -> None:
    torch.manual_seed(2)
    network.double()
    with torch.no_grad():
        network.tail.weight.normal_(std=0.1)
    pictures, vectors = torch.rand(3, 3, 32, 32).double(), torch.randn(3, CONDITION_SIZE).double()
    together = network(pictures, vectors)
    for index in range(3):
        alone = network(pictures[index : index + 1], vectors[index : index + 1])
        assert torch.allclose(alone[0], together[index], atol=1e-12)


def test_fresh_networks_are_the_plain_filters() -> None:
    picture, vector = torch.rand(1, 3, 32, 32), torch.zeros(1, CONDITION_SIZE)

    def same(first: Tensor, second: Tensor) -> bool:
        return torch.allclose(first, second, atol=1e-6)

    assert same(PostprocessNet(scale=1, channels=8, blocks=1)(picture, vector), picture)
    assert same(PostprocessNet(scale=2, channels=8, blocks=1)(picture, vector), enlarge(picture, 2))
    assert same(DescriptionNet(channels=8, blocks=1)(picture, vector), shrink(picture))
    assert same(UShapedPostprocessNet(scale=2, widths="4-6", down="1-1", up="1")(picture, vector), enlarge(picture, 2))


def test_shrinking_keeps_flat_pictures_flat_and_brightness() -> None:
    flat = torch.full((1, 3, 24, 24), 0.3)
    assert torch.allclose(shrink(flat), torch.full((1, 3, 12, 12), 0.3), atol=1e-6)


def test_the_plain_description_keeps_its_precision_under_autocast() -> None:
    picture = torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        described = DescriptionNet(channels=8, blocks=1)(picture, torch.zeros(1, CONDITION_SIZE))
    assert described.dtype == torch.float32
    assert torch.allclose(described, shrink(picture), atol=1e-6)


def test_an_unknown_architecture_is_a_bad_model() -> None:
    with pytest.raises(BadModel, match="description, paper-description"):
        build("transformer", {})
    with pytest.raises(BadModel, match="scale must be 1 or 2"):
        build("postprocess", {"scale": 3, "channels": 8, "blocks": 1})
    with pytest.raises(BadModel, match="cannot be made"):
        build("postprocess", {"depth": 3})


def test_the_condition_grows_with_the_step_and_is_bounded() -> None:
    def of(step: int) -> NDArray[np.float32]:
        return condition([np.full((8, 8), step, np.uint16)] * 3, subsampled=True, own=True)

    assert of(1).shape == (CONDITION_SIZE,)
    assert (of(20)[:14] > of(10)[:14]).all()
    assert np.abs(of(1)).max() <= 2
    assert np.abs(of(255)).max() <= 2.1


def test_the_condition_tells_bands_planes_and_flags_apart() -> None:
    table = np.full((8, 8), 16, np.uint16)
    high = table.copy()
    high[7, 7] = 255
    plain = condition([table, table, table], subsampled=True, own=True)
    assert not np.array_equal(plain, condition([high, table, table], subsampled=True, own=True))
    assert not np.array_equal(plain, condition([table, high, high], subsampled=True, own=True))
    assert not np.array_equal(plain, condition([table, table, table], subsampled=False, own=True))
    assert not np.array_equal(plain, condition([table, table, table], subsampled=True, own=False))
    assert not np.array_equal(plain, condition([table], subsampled=True, own=True))


def test_the_condition_is_what_released_models_were_trained_on() -> None:
    luma = np.add.outer(np.arange(8), np.arange(8)).astype(np.uint16) * 5 + 10
    vector = condition([luma, luma + 20, luma + 20], subsampled=True, own=True)
    expected = [
        -0.3390, -0.0466, 0.1610, 0.3219, 0.5141, 0.7431, 0.9876,
        0.4534, 0.5646, 0.6610, 0.7459, 0.8594, 1.0098, 1.1876, 1.0000, 1.0000, 0.0000,
    ]  # fmt: skip
    assert np.allclose(vector, expected, atol=1e-3)


@pytest.mark.parametrize(("views", "axes"), [(2, (3,)), (4, (2,)), (4, (2, 3))])
def test_a_network_of_views_does_to_a_mirrored_picture_what_it_does_to_the_picture(
    views: int, axes: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    for scale in (1, 2):
        network = PostprocessNet(scale=scale, channels=8, blocks=1, views=views).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        picture, vector = torch.rand(1, 3, 16, 24), torch.rand(1, CONDITION_SIZE)
        assert torch.allclose(network(picture.flip(axes), vector), network(picture, vector).flip(axes), atol=1e-5)
        one = PostprocessNet(scale=scale, channels=8, blocks=1).eval()
        one.load_state_dict(network.state_dict())
        assert not torch.allclose(network(picture, vector), one(picture, vector), atol=1e-4)
        assert torch.allclose(network.train()(picture, vector), one(picture, vector), atol=1e-6)
