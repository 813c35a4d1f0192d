"""The codec of batches against the real one: on the processor, and on a CUDA device where there is one."""

from __future__ import annotations

import io
from typing import Final, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tests.pictures import scene
from virtual_codec import bitstream
from virtual_codec.codecs import JpegSettings, quantisation_tables
from virtual_codec.codecs.jpeg import analyse, decode, encode, quantised
from virtual_codec.networks.condition import condition
from virtual_codec.networks.differentiable import smooth_jpeg
from virtual_codec.training.coding import levels_of_descriptions, tables_of
from virtual_codec.training.device_codec import DeviceCodec, foreign_settings, own_settings
from virtual_codec.training.device_codec._planes import Component, components_of

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
STEPS: Final = (3.0, 10.0, 30.0, 80.0)


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def codec(device: str) -> DeviceCodec:
    return DeviceCodec(device)


def crop(seed: int = 0) -> NDArray[np.uint8]:
    return scene(192, 192, seed=seed)


def tensor(*pictures: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div(255).to(device)


def psnr(decoded: NDArray[np.uint8] | Tensor, image: NDArray[np.uint8]) -> float:
    if isinstance(decoded, Tensor):
        decoded = (decoded * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return float(10 * np.log10(255**2 / np.square(decoded.astype(np.float64) - image).mean()))


@pytest.fixture
def entropy_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entropies in place of code lengths in the real encoder, as the device has them."""

    def entropy(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        share = (counts + 0.25) / (counts.sum() + 1)
        bits: NDArray[np.float64] = np.clip(-np.log2(share), 1, 16) + (np.arange(256) & 15) + 8 / (counts + 1)
        return bits

    monkeypatch.setattr("virtual_codec.codecs.jpeg.symbol_costs", entropy)


def test_prices_by_entropy_choose_nearly_the_same(codec: DeviceCodec, device: str) -> None:
    image = crop()
    decoded, _ = codec.code(
        tensor(*[image] * len(STEPS), device=device), own_settings(torch.tensor(STEPS, device=device), "420")
    )
    for index, step in enumerate(STEPS):
        real = decode(encode(image, JpegSettings(step=step)))
        assert psnr(decoded[index], image) == pytest.approx(psnr(real, image), abs=0.1)


@pytest.mark.usefixtures("entropy_prices")
@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_pictures_and_bits_are_those_of_the_real_codec(
    codec: DeviceCodec, device: str, subsampling: Literal["420", "444"]
) -> None:
    for seed in range(2):
        image = crop(seed)
        settings = own_settings(torch.tensor(STEPS, device=device), subsampling, chroma_dc=0.7)
        decoded, bits = codec.code(tensor(*[image] * len(STEPS), device=device), settings)
        for index, step in enumerate(STEPS):
            stream = encode(image, JpegSettings(step=step, subsampling=subsampling, chroma_dc=0.7))
            assert psnr(decoded[index], image) == pytest.approx(psnr(decode(stream), image), abs=0.03)
            share = float(bits[index]) / 8 / bitstream.layout(stream).entropy_bytes
            assert (0.95 if step < 50 else 0.8) < share < 1, "Huffman's whole bits cost most where little is coded"


@pytest.mark.usefixtures("entropy_prices")
def test_grey_pictures_are_those_of_the_real_codec(codec: DeviceCodec, device: str) -> None:
    grey = np.asarray(Image.fromarray(crop()).convert("L"))
    image = np.repeat(grey[..., None], 3, axis=2)
    decoded, _ = codec.code(tensor(image, device=device), own_settings(torch.tensor([20.0], device=device), "grey"))
    real = decode(encode(grey, JpegSettings(step=20.0)))
    assert psnr(decoded[0], image) == pytest.approx(psnr(np.repeat(real[..., None], 3, axis=2), image), abs=0.03)


@pytest.mark.usefixtures("entropy_prices")
def test_levels_are_those_of_the_real_encoder(codec: DeviceCodec, device: str) -> None:
    image = crop()
    settings = own_settings(torch.tensor([20.0], device=device), "420")
    components = analyse(image, "420")
    real = quantised(components, JpegSettings(step=20.0))[0]
    found, _ = codec._quantised(_components(image, device), settings)
    for mine, theirs in zip((found[0][0, 0], found[1][0, 0], found[1][0, 1]), real, strict=True):
        assert (mine.cpu().numpy() != theirs).mean() < 2e-4, "single precision decides a few ties otherwise"


def _components(image: NDArray[np.uint8], device: str) -> list[Component]:
    return components_of(tensor(image, device=device), "420")


@pytest.mark.parametrize(("subsampling", "code"), [("420", 2), ("422", 1), ("444", 0)])
def test_foreign_pictures_are_those_of_libjpeg(
    codec: DeviceCodec, device: str, subsampling: Literal["420", "422", "444"], code: int
) -> None:
    image, qualities = crop(), (10, 50, 90)
    settings = foreign_settings(torch.tensor(qualities, device=device), subsampling)
    decoded, _ = codec.code(tensor(*[image] * 3, device=device), settings)
    for index, quality in enumerate(qualities):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=code)
        assert psnr(decoded[index], image) == pytest.approx(psnr(decode(file.getvalue()), image), abs=0.03)
        layout = bitstream.layout(file.getvalue())
        expected = condition(layout.tables, subsampled=subsampling != "444", own=False)
        assert settings.condition()[index].cpu().numpy() == pytest.approx(expected, abs=1e-5)


def test_tables_and_conditions_are_those_of_the_real_settings(device: str) -> None:
    each = JpegSettings(step=17.0, luma_exponent=0.4, chroma_ratio=0.8, chroma_dc=0.7)
    luma, chroma = quantisation_tables(each)
    made = own_settings(
        torch.tensor([17.0], device=device),
        "420",
        luma_exponent=torch.tensor([0.4], device=device),
        chroma_ratio=torch.tensor([0.8], device=device),
        chroma_dc=0.7,
    )
    zigzag = np.asarray(bitstream.ZIGZAG)
    assert (made.luma[0].cpu().numpy() == luma.ravel()[zigzag]).all()
    assert (made.chroma[0].cpu().numpy() == chroma.ravel()[zigzag]).all()
    tables = [table.astype(np.uint16) for table in (luma, chroma, chroma)]
    assert made.condition()[0].cpu().numpy() == pytest.approx(condition(tables, subsampled=True, own=True), abs=1e-5)
    grey = own_settings(torch.tensor([17.0], device=device), "grey", luma_exponent=0.4).condition()[0]
    assert grey.cpu().numpy() == pytest.approx(condition(tables[:1], subsampled=False, own=True), abs=1e-5)


@pytest.mark.parametrize("follows_trellis", [False, True])
@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_the_derivative_is_that_of_the_smooth_model(
    codec: DeviceCodec, device: str, subsampling: Literal["420", "444"], follows_trellis: bool
) -> None:
    each = JpegSettings(step=25.0, subsampling=subsampling)
    picture, towards = tensor(crop()), tensor(crop(1))
    mine = picture.clone().to(device).requires_grad_()
    settings = own_settings(torch.tensor([25.0], device=device), subsampling)
    decoded, bits, rate = codec.code_differentiably(mine, settings, follows_trellis=follows_trellis)
    assert torch.equal(decoded.detach(), codec.code(mine, settings)[0])
    assert rate.tolist() == pytest.approx(bits.tolist())
    (decoded * towards.to(device)).sum().add(rate.sum() / 1000).backward()
    real = picture.clone().requires_grad_()
    levels = levels_of_descriptions(picture, (each,)) if follows_trellis else None
    smooth, units = smooth_jpeg(real, tables_of((each,)), subsampled=subsampling == "420", levels=levels)
    (smooth * towards).sum().add((units * (bits.cpu() / units).detach()).sum() / 1000).backward()
    assert mine.grad is not None
    assert real.grad is not None
    apart = (mine.grad.cpu() - real.grad).norm() / real.grad.norm()
    assert apart < (1e-3 if follows_trellis else 5e-5), "a level that a tie decides otherwise has another derivative"
    cosine = torch.nn.functional.cosine_similarity(mine.grad.cpu().flatten(), real.grad.flatten(), dim=0)
    assert float(cosine) > 1 - 1e-6


def test_pictures_of_a_batch_do_not_depend_on_one_another(codec: DeviceCodec, device: str) -> None:
    pictures = tensor(crop(0), crop(1), device=device)
    together, bits = codec.code(pictures, own_settings(torch.tensor([9.0, 40.0], device=device), "420"))
    for index, step in enumerate((9.0, 40.0)):
        settings = own_settings(torch.tensor([step], device=device), "420")
        alone, spent = codec.code(pictures[index : index + 1], settings)
        assert float((alone[0] - together[index]).abs().mean()) < 1e-4
        assert float(spent) == pytest.approx(float(bits[index]), rel=1e-3)
