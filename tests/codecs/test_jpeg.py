"""What the JPEG encoder promises, checked against libjpeg and a reader of its own."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import idctn
from skimage import data

from tests.codecs.reading import read
from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codecs import CODECS, JpegSettings, _entropy, quantisation_tables
from virtual_codec.codecs._dc_scans import with_separate_dc
from virtual_codec.codecs._scans import check_scans_complete
from virtual_codec.codecs.jpeg import analyse, decode, encode, encode_blocks, optimise_scans, quantised
from virtual_codec.errors import UndecodableImage

Sampling = Literal["420", "444"]


def astronaut() -> NDArray[np.uint8]:
    """512 x 512 pixels of a portrait."""
    picture: NDArray[np.uint8] = data.astronaut()  # type: ignore[no-untyped-call]
    return picture


@pytest.fixture
def photograph() -> NDArray[np.uint8]:
    """128 x 112 pixels of a face."""
    return astronaut()[32:160, 160:272]


def noise(height: int, width: int, *, low: int = 0, high: int = 256) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(low, high, (height, width, 3)).astype(np.uint8)


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def planes_by_libjpeg(stream: bytes) -> NDArray[np.uint8]:
    """Decoded YCbCr, chroma brought to full size."""
    image = Image.open(io.BytesIO(stream))
    image.draft("YCbCr", image.size)
    return np.asarray(image)


@pytest.mark.parametrize("trellis", [0.0, 0.05])
@pytest.mark.parametrize("subsampling", ["420", "444"])
@pytest.mark.parametrize("step", [1.0, 6.5, 40.0, 255.0])
def test_the_file_says_what_the_quantiser_decided(
    photograph: NDArray[np.uint8], step: float, subsampling: Sampling, trellis: float
) -> None:
    chosen = JpegSettings(step=step, subsampling=subsampling, trellis=trellis)
    picture = photograph[:61, :75]
    reading = read(encode(picture, chosen))
    levels, last = quantised(analyse(picture, subsampling), chosen)
    assert (reading.height, reading.width) == (61, 75)
    for read_levels, sent, ends in zip(reading.levels, levels, last, strict=True):
        assert np.array_equal(read_levels, sent)
        assert all(not block[end + 1 :].any() for block, end in zip(sent, ends, strict=True))
    for i, table in zip(reading.quantisation_of, [0, 1, 1], strict=True):
        wanted = quantisation_tables(chosen)[table].ravel()[ZIGZAG]
        assert np.array_equal(reading.quantisation[i], wanted)


@pytest.mark.parametrize("trellis", [0.0, 0.05])
@pytest.mark.parametrize("step", [1.0, 20.0, 90.0])
def test_libjpeg_decodes_the_luma_that_the_levels_mean(
    photograph: NDArray[np.uint8], step: float, trellis: float
) -> None:
    chosen = JpegSettings(step=step, trellis=trellis, subsampling="444")
    stream = encode(photograph, chosen)
    table = quantisation_tables(chosen)[0].astype(np.float64)
    blocks = np.zeros((len(photograph) // 8 * photograph.shape[1] // 8, 64))
    blocks[:, ZIGZAG] = read(stream).levels[0]
    samples = idctn(blocks.reshape(-1, 8, 8) * table, axes=(1, 2), norm="ortho") + 128
    rows, columns = photograph.shape[0] // 8, photograph.shape[1] // 8
    luma = samples.reshape(rows, columns, 8, 8).swapaxes(1, 2).reshape(photograph.shape[:2])
    assert np.abs(planes_by_libjpeg(stream)[..., 0] - np.clip(luma, 0, 255)).max() <= 1.01


@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_fine_steps_give_the_picture_back(photograph: NDArray[np.uint8], subsampling: Sampling) -> None:
    stream = encode(photograph, JpegSettings(step=1, trellis=0, subsampling=subsampling))
    saved = io.BytesIO()
    Image.fromarray(photograph).save(
        saved, "JPEG", quality=100, subsampling="4:2:0" if subsampling == "420" else "4:4:4"
    )
    assert psnr_db(decode(stream), photograph) > psnr_db(decode(saved.getvalue()), photograph) - 0.05


def test_grey_has_one_component_and_the_luma_of_colour(photograph: NDArray[np.uint8]) -> None:
    grey = photograph[..., 1]
    stream = encode(grey, JpegSettings(step=12))
    reading = read(stream)
    assert len(reading.levels) == 1
    assert len(reading.quantisation) == 1
    assert decode(stream).shape == grey.shape
    assert psnr_db(decode(stream), grey) > 30
    coloured = encode(np.repeat(grey[..., None], 3, axis=2), JpegSettings(step=12, subsampling="444"))
    assert np.abs(decode(coloured)[..., 0].astype(int) - decode(stream)).max() <= 3
    assert len(stream) < len(coloured)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    subsampling=st.sampled_from(["420", "444"]),
    grey=st.booleans(),
    step=st.floats(1, 300),
    trellis=st.sampled_from([0.0, 0.05, 1.0]),
    masking=st.sampled_from([0.0, 0.4]),
)
def test_every_size_comes_back_in_its_size(
    height: int, width: int, subsampling: Sampling, grey: bool, step: float, trellis: float, masking: float
) -> None:
    picture = noise(height, width)
    stream = encode(
        picture[..., 0] if grey else picture,
        JpegSettings(step=step, trellis=trellis, masking=masking, subsampling=subsampling),
    )
    assert decode(stream).shape == ((height, width) if grey else (height, width, 3))
    read(stream)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 17), (8, 9), (33, 16), (47, 49)])
def test_edges_are_as_good_as_the_middle(photograph: NDArray[np.uint8], height: int, width: int) -> None:
    picture = photograph[:height, :width]
    for subsampling in ("420", "444"):
        decoded = decode(encode(picture, JpegSettings(step=2, trellis=0, subsampling=subsampling)))
        worst = np.abs(decoded[-2:, -2:].astype(int) - picture[-2:, -2:]).max()
        assert worst <= (40 if subsampling == "420" else 8)


@pytest.mark.parametrize("step", [1.0, 255.0, 1e6])
@pytest.mark.parametrize("kind", ["black and white", "uniform", "white", "black"])
def test_extremes_survive(kind: str, step: float) -> None:
    picture = {
        "black and white": noise(64, 64, high=2) * np.uint8(255),
        "uniform": noise(64, 64),
        "white": np.full((64, 64, 3), 255, np.uint8),
        "black": np.zeros((64, 64, 3), np.uint8),
    }[kind]
    for trellis in (0.0, 0.1):
        stream = encode(picture, JpegSettings(step=step, trellis=trellis, subsampling="444"))
        read(stream)
        if step == 1:
            assert np.abs(decode(stream).astype(int) - picture).max() <= 6


def test_basis_patterns_of_full_swing_stay_within_the_format() -> None:
    signs = np.sign(np.cos((2 * np.arange(8) + 1)[:, None] * np.arange(8) * np.pi / 16))
    patterns = np.einsum("ik,jl->kilj", signs, signs).reshape(64, 64)
    grey = np.where(patterns > 0, 255, 0).astype(np.uint8)
    stream = encode(grey, JpegSettings(step=1, trellis=0))
    assert np.abs(read(stream).levels[0][:, 1:]).max() == 1020
    assert np.abs(decode(stream).astype(int) - grey).max() <= 3


def test_the_same_pixels_give_the_same_bytes(photograph: NDArray[np.uint8]) -> None:
    chosen = JpegSettings(step=25)
    stream = encode(photograph, chosen)
    assert encode(photograph.copy(), chosen) == stream
    assert encode(photograph.astype(np.float32), chosen) == stream
    assert encode(np.asfortranarray(photograph), chosen) == stream
    assert encode_blocks(analyse(photograph), chosen) == stream


def test_floats_are_taken_unrounded() -> None:
    flat = np.full((16, 16), 128.5, np.float32)
    reading = read(encode(flat, JpegSettings(step=1, trellis=0)))
    assert reading.levels[0][0, 0] == 4  # 8 x half a level


def test_the_trellis_saves_bytes_and_lowers_the_lagrangian() -> None:
    picture = astronaut()[:256, :256]
    rounded = JpegSettings(step=20, trellis=0)
    chosen = replace(rounded, trellis=0.05, chroma_trellis=1.0, masking=0.0)
    costs, sizes = [], []
    for one in (rounded, chosen):
        blocks = analyse(picture)
        stream = encode_blocks(blocks, one)
        levels, _ = quantised(blocks, one)
        tables = [table.ravel()[ZIGZAG].astype(np.float64) for table in quantisation_tables(one)]
        error = sum(
            float(((sent * tables[min(i, 1)] - exact) ** 2).sum())
            for i, (sent, exact) in enumerate(zip(levels, blocks.components, strict=True))
        )
        costs.append(error + 0.05 * tables[0].mean() ** 2 * 8 * len(stream))
        sizes.append(len(stream))
    assert sizes[1] < 0.9 * sizes[0]
    assert costs[1] < 0.97 * costs[0]


def test_more_trellis_is_fewer_bytes() -> None:
    picture = astronaut()[:128, :128]
    sizes = [len(encode(picture, JpegSettings(step=20, trellis=f))) for f in (0, 0.02, 0.05, 0.1, 0.3, 3, 1e6)]
    assert sizes == sorted(sizes, reverse=True)


def test_masking_moves_error_from_calm_blocks_to_busy_ones() -> None:
    picture = astronaut()[:256, :256]
    blocks = analyse(picture)
    luma = blocks.components[0]
    busy = np.argsort((luma[:, 1:] ** 2).sum(axis=1))[-len(luma) // 3 :]
    errors = []
    for masking in (0.0, 0.4):
        chosen = JpegSettings(step=30, masking=masking)
        table = quantisation_tables(chosen)[0].ravel()[ZIGZAG]
        error = ((quantised(blocks, chosen)[0][0] * table - luma) ** 2).sum(axis=1)
        errors.append((error[busy].sum(), error.sum() - error[busy].sum()))
    assert errors[1][0] > errors[0][0]
    assert errors[1][1] < errors[0][1]


def test_it_beats_libjpeg_at_the_same_bytes() -> None:
    picture = astronaut()
    saved = io.BytesIO()
    Image.fromarray(picture).save(saved, "JPEG", quality=50, optimize=True)
    stream = encode(picture, JpegSettings(step=30))
    assert len(stream) < 0.95 * saved.tell()
    assert psnr_db(decode(stream), picture) > psnr_db(decode(saved.getvalue()), picture)


def test_scan_optimisation_keeps_the_pixels_and_never_costs() -> None:
    pytest.importorskip("mozjpeg_lossless_optimization")
    saved = []
    for side in (16, 512):
        picture = astronaut()[:side, :side]
        plain = encode(picture, JpegSettings(step=30))
        optimised = optimise_scans(plain)
        assert np.array_equal(decode(plain), decode(optimised))
        assert len(optimised) <= len(plain)
        assert b"JFIF" not in optimised
        saved.append(len(plain) - len(optimised))
    assert saved[-1] > 0


def test_halved_chroma_has_a_scan_of_its_own_where_that_is_shorter() -> None:
    whole, tiny = (read(encode(astronaut()[:side, :side], JpegSettings(step=30))).scans for side in (256, 16))
    assert whole == [[0], [1, 2]]
    assert tiny == [[0, 1, 2]]
    assert read(encode(astronaut(), JpegSettings(step=30, subsampling="444"))).scans == [[0, 1, 2]]


def test_luma_in_raster_order_takes_fewer_bits_than_in_mcus(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = JpegSettings(step=40)
    separate = encode(astronaut(), chosen)

    def interleaved_only(*given: object) -> list[_entropy._Plan]:
        return list(plans(*given))[1:]  # type: ignore[arg-type]

    plans = _entropy._plans
    monkeypatch.setattr(_entropy, "_plans", interleaved_only)
    together = encode(astronaut(), chosen)
    assert read(together).scans == [[0, 1, 2]]
    assert np.array_equal(decode(separate), decode(together))
    assert len(separate) < 0.995 * len(together)


@pytest.mark.parametrize(("height", "width"), [(512, 512), (249, 373), (300, 31)])
def test_dc_scans_are_separated_without_loss(height: int, width: int) -> None:
    optimise = pytest.importorskip("mozjpeg_lossless_optimization").optimize
    picture = astronaut()[:height, :width]
    progressive = optimise(encode(picture, JpegSettings(step=12)))
    separated = with_separate_dc(progressive)
    assert np.array_equal(decode(separated), decode(progressive))
    assert len(separated) < len(progressive) if min(height, width) > 100 else separated == progressive
    check_scans_complete(separated)
    assert with_separate_dc(separated) == separated


def test_only_halved_chroma_is_separated() -> None:
    optimise = pytest.importorskip("mozjpeg_lossless_optimization").optimize
    for stream in (
        encode(astronaut(), JpegSettings(step=12)),
        optimise(encode(astronaut(), JpegSettings(step=12, subsampling="444"))),
        optimise(encode(astronaut()[..., 0], JpegSettings(step=12))),
    ):
        assert with_separate_dc(stream) == stream


def test_a_tiny_file_shares_its_codes() -> None:
    stream = encode(noise(8, 8, low=100, high=140), JpegSettings(step=40))
    assert len(read(stream).codes) == 2
    large = encode(astronaut(), JpegSettings(step=10))
    assert {0x10, 0x11} <= read(large).codes.keys()


def test_equal_tables_are_sent_once() -> None:
    flat = JpegSettings(step=30, luma_exponent=0, luma_dc=1, chroma_exponent=0, chroma_ratio=1)
    assert len(read(encode(noise(16, 16), flat)).quantisation) == 1


@pytest.mark.parametrize("step", [0.1, 1, 7.3, 40, 254, 1000])
def test_tables_have_the_mean_they_are_asked_for(step: float) -> None:
    luma, chroma = quantisation_tables(JpegSettings(step=step, chroma_ratio=0.75))
    assert luma.dtype == np.uint8
    assert luma.min() >= 1
    if 1 <= step <= 100:
        assert float(luma.mean()) == pytest.approx(step, abs=0.5)
    if 7 <= step <= 100:
        assert float(chroma.mean()) == pytest.approx(0.75 * step, abs=0.5)


def test_the_dc_entry_alone_can_be_finer() -> None:
    plain, finer = (quantisation_tables(JpegSettings(step=40, luma_dc=dc))[0] for dc in (1.0, 0.5))
    assert finer[0, 0] <= 0.55 * plain[0, 0]
    assert float(finer.mean()) == pytest.approx(40, abs=0.5)


def test_the_chroma_dc_entry_alone_can_be_finer() -> None:
    plain, finer = (quantisation_tables(JpegSettings(step=40, chroma_dc=dc)) for dc in (1.0, 0.7))
    assert (plain[0] == finer[0]).all()
    assert finer[1][0, 0] == pytest.approx(0.7 * plain[1][0, 0], abs=1)
    assert float(finer[1].mean()) == pytest.approx(float(plain[1].mean()), abs=0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 0.0},
        {"step": float("nan")},
        {"step": float("inf")},
        {"step": 9.0, "trellis": -0.1},
        {"step": 9.0, "masking": float("nan")},
        {"step": 9.0, "passes": 0},
        {"step": 9.0, "subsampling": "422"},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        JpegSettings(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0), (4, 4, 4), (4,), (65_501, 1)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        encode(np.zeros(shape, np.uint8), JpegSettings(step=9))


def test_damaged_streams_are_undecodable(photograph: NDArray[np.uint8]) -> None:
    stream = encode(photograph, JpegSettings(step=9))
    png = io.BytesIO()
    Image.fromarray(photograph).save(png, "PNG")
    for wrong in (b"", stream[:100], stream[: len(stream) // 2], png.getvalue()):
        with pytest.raises(UndecodableImage):
            decode(wrong)


def test_codecs_go_by_their_name(photograph: NDArray[np.uint8]) -> None:
    for name, codec in CODECS.items():
        assert codec.name == name
        assert codec.decode(codec.encode(photograph, JpegSettings(step=30))).shape == photograph.shape
