from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import make_store
from virtual_codec.errors import BadOption
from virtual_codec.evaluation import Summary, record
from virtual_codec.evaluation.curves import BdRate
from virtual_codec.store import ModelStore


def summary_of(*models: str) -> Summary:
    row = BdRate(
        set="kodak",
        codec="virtual-codec",
        metric="psnr_rgb",
        low_bpp=0.1,
        high_bpp=0.4,
        percent=-12.5,
        images=24,
        without_overlap=0,
    )
    return Summary(
        models=models, versions={}, notes=(), sets=(), bd_rates=(row,), means=(), qualities=(), times=(), foreign=()
    )


def test_figures_go_into_manifest_and_card_and_may_be_renewed(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    (tmp_path / "tiny" / "MODEL_CARD.md").write_text("# tiny\n")
    for _ in range(2):
        record(summary_of(store.default.id), store.default, tmp_path, codec="virtual-codec")
    after = ModelStore(tmp_path).default
    assert after.metrics == {"kodak/bd_rate/psnr_rgb/0.1-0.4_bpp": -12.5}
    assert after.id == store.default.id
    card = (tmp_path / "tiny" / "MODEL_CARD.md").read_text()
    assert card.startswith("# tiny\n")
    assert card.count("## Results") == 1
    assert "| kodak | 0.1 to 0.4 bpp | -12.5 | - | - |" in card
    assert not list((tmp_path / "tiny").glob("*.partial"))


def test_figures_of_several_models_are_refused(tmp_path: Path) -> None:
    default = make_store(tmp_path).default
    with pytest.raises(BadOption, match="recorded, tiny; 00000000 was measured too"):
        record(summary_of(default.id, "00000000"), default, tmp_path, codec="virtual-codec")


@pytest.mark.parametrize("also_default", [True, False])
def test_figures_go_to_the_model_that_describes_not_to_its_alternative(tmp_path: Path, also_default: bool) -> None:
    default = replace(make_store(tmp_path).default, alternatives=["00000000"])
    (tmp_path / "tiny" / "MODEL_CARD.md").write_text("# tiny\n")
    measured = ("00000000", default.id) if also_default else ("00000000",)
    record(summary_of(*measured), default, tmp_path, codec="virtual-codec")
    assert ModelStore(tmp_path).get("tiny").metrics
