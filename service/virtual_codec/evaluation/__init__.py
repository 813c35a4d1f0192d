"""Rate-distortion evaluation of the codec against standard codecs, over folders of test images.

    summary = evaluate(codec, EvaluateConfig(data_dir=..., out_dir=...))

writes points.csv, restored.csv, foreign.csv, summary.json, results.md and rate_distortion.png.

To add a standard codec: a row of `ANCHORS` in _anchors.py. To add a metric: a field of `Point` and a row of `METRICS`.
"""

from virtual_codec.evaluation._anchors import ANCHORS, Anchor
from virtual_codec.evaluation._config import EvaluateConfig
from virtual_codec.evaluation._evaluate import evaluate, evaluate_foreign, precompute_anchors
from virtual_codec.evaluation._measuring import Progress
from virtual_codec.evaluation._record import record
from virtual_codec.evaluation._summary import Summary
from virtual_codec.evaluation._sweep import TestedCodec, Variant

__all__ = [
    "ANCHORS",
    "Anchor",
    "EvaluateConfig",
    "Progress",
    "Summary",
    "TestedCodec",
    "Variant",
    "evaluate",
    "evaluate_foreign",
    "precompute_anchors",
    "record",
]
