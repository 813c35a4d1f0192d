"""Report of a summary as Markdown tables: results.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from virtual_codec.evaluation._anchors import ANCHORS
from virtual_codec.evaluation._drift import REFERENCE
from virtual_codec.evaluation._foreign import KINDS
from virtual_codec.evaluation._restored import anchor_of
from virtual_codec.evaluation._summary import BD_RANGES_BPP, MEAN_RATES_BPP, Summary
from virtual_codec.evaluation.curves import METRICS, BdRate


def results_markdown(summary: Summary, *, plot: str | None = None) -> str:
    """Text of results.md. `plot` is the file name of the plot at its top."""
    sections = [_title(summary, plot), _bd_section(summary), _means_section(summary)]
    sections += [_quality_section(summary), _drift_section(summary)]
    sections += [_foreign_section(summary), _times_section(summary)]
    return "\n\n".join(section for section in sections if section) + "\n"


def label_of(codec: str) -> str:
    """Label of a codec in tables and plots."""
    if anchor := anchor_of(codec):
        return f"{ANCHORS[anchor].label}, restored"
    return ANCHORS[codec].label if codec in ANCHORS else codec


def _title(summary: Summary, plot: str | None) -> str:
    sets = ", ".join(f"{row.set} ({row.images})" for row in summary.sets)
    lines = ["# Rate and distortion", ""]
    if plot:
        lines += [f"![mean rate-distortion curves]({plot})", ""]
    lines += [
        f"Sets (images): {sets}. Models: {', '.join(summary.models) or 'none'}.",
        "Bits per pixel count whole files. PSNR RGB pools the channels, PSNR Y is BT.601 full range, SSIM is",
        "of luma, MS-SSIM the mean of R, G and B. JPEG is 4:2:0 with optimised Huffman tables. Colour drift is the",
        "error of Cb and Cr blurred by 8 pixels, in levels: less is better, its means are root mean squares.",
        ", ".join(f"{name} {version}" for name, version in summary.versions.items()) + ".",
    ]
    lines += [f"\n{note}" for note in summary.notes]
    return "\n".join(lines)


def _bd_section(summary: Summary) -> str:
    parts = [
        "## Bytes saved against JPEG",
        (
            "BD-rate in percent, per image and then averaged; the range is that of the JPEGs' rates.\n"
            "In brackets: the number of images without a common quality, where there are any."
        ),
    ]
    for low, high in BD_RANGES_BPP:
        rows = [row for row in summary.bd_rates if (row.low_bpp, row.high_bpp) == (low, high)]
        cells: dict[tuple[str, str], dict[str, BdRate]] = {}
        for row in rows:
            cells.setdefault((row.set, row.codec), {})[row.metric] = row
        parts.append(f"### {low:g} to {high:g} bpp")
        parts.append(_by_metric(cells, _percent))
    return "\n\n".join(parts)


def _means_section(summary: Summary) -> str:
    parts = ["## Means at equal rates", "Where nine tenths of the images reach the rate."]
    for metric, properties in METRICS.items():
        rows = [row for row in summary.means if row.metric == metric]
        if not rows:
            continue
        digits = 4 if properties.is_similarity else 3 if properties.is_error else 2
        parts.append(f"### {properties.label}")
        parts.append(
            _table(
                ["set", "codec", *(f"{rate:g} bpp" for rate in MEAN_RATES_BPP)],
                [[r.set, label_of(r.codec), *(_number(v, digits) for v in r.values)] for r in rows],
            )
        )
    return "\n\n".join(parts)


def _quality_section(summary: Summary) -> str:
    rows = [
        [
            *(row.set, row.codec, str(row.quality), _number(row.bpp, 3), _number(row.psnr_rgb, 2)),
            *(_number(row.jpeg_psnr_rgb, 2), _number(row.byte_ratio, 3), _number(row.gain_at_equal_bytes, 2)),
            ", ".join(f"{100 * share:.0f} % x{scale}" for scale, share in row.scales.items()),
            {True: "kept", False: "**broken**", None: ""}[row.promise],
        ]
        for row in summary.qualities
    ]
    head = ["set", "codec", "quality", "bpp", "PSNR RGB", "JPEG's", "bytes / JPEG's"]
    head += ["dB at equal bytes", "scales", "promise"]
    text = "JPEG's column is ordinary JPEG of the same quality. The promise: from 5 to 95 at least its PSNR, in "
    text += "at most 0.7 of its bytes up to 50 and never in more above."
    return "\n\n".join(["## Quality against JPEG's quality", text, _table(head, rows)])


def _drift_section(summary: Summary) -> str:
    if not summary.drifts:
        return ""
    rows = [
        [
            *(row.set, row.codec, str(row.quality), str(row.images)),
            *(_number(row.colour_drift, 3), _number(row.avif_colour_drift, 3), _number(row.ratio, 2)),
        ]
        for row in summary.drifts
    ]
    text = "Error of Cb and Cr blurred by a Gaussian of sigma 8 pixels, root mean square over the colour pictures of a"
    text += f"\nset, in levels, and that of {label_of(REFERENCE)} at the same bytes of each picture."
    head = ["set", "codec", "quality", "images", "drift", f"{label_of(REFERENCE)}'s", "ratio"]
    return "\n\n".join([f"## Colour drift against {label_of(REFERENCE)} at equal bytes", text, _table(head, rows)])


def _foreign_section(summary: Summary) -> str:
    if not summary.foreign:
        return ""
    rows = [
        [
            *(
                row.set,
                KINDS[row.kind],
                str(row.quality),
                _number(row.jpeg_psnr_rgb, 2),
                _number(row.psnr_rgb, 2),
            ),
            *(_gain(row.psnr_rgb - row.jpeg_psnr_rgb), _gain(row.psnr_y - row.jpeg_psnr_y)),
            *(_gain(row.worst_gain), f"{100 * row.worse:.0f} %"),
        ]
        for row in summary.foreign
    ]
    head = ["set", "JPEG", "quality", "as it is", "restored", "gain", "gain Y", "worst image", "made worse"]
    return "\n\n".join(["## JPEGs of other encoders, restored", "Mean PSNR in dB.", _table(head, rows)])


def _times_section(summary: Summary) -> str:
    rows = [
        [
            *(row.set, label_of(row.codec), _number(row.compress_s, 3), _number(row.restore_s, 3)),
            *(_number(row.compress_s_per_megapixel, 2), _number(row.restore_s_per_megapixel, 2)),
        ]
        for row in summary.times
    ]
    head = ["set", "codec", "compress s", "restore s", "compress s/MP", "restore s/MP"]
    text = "Mean seconds of wall clock for one image, on the machine that measured, whatever else it did."
    return "\n\n".join(["## Times", text, _table(head, rows)])


def _by_metric(cells: Mapping[tuple[str, str], Mapping[str, BdRate]], show: Callable[[BdRate], str]) -> str:
    measured = [name for name in METRICS if any(name in of_metric for of_metric in cells.values())]
    rows = [
        [set_name, label_of(codec), *(show(of_metric[name]) for name in measured)]
        for (set_name, codec), of_metric in cells.items()
    ]
    return _table(["set", "codec", *(METRICS[name].label for name in measured)], rows)


def _percent(row: BdRate) -> str:
    if row.percent is None:
        return "-"
    return f"{row.percent:+.1f}" + (f" ({row.without_overlap})" if row.without_overlap else "")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _gain(value: float) -> str:
    return f"{value:+.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
