"""Makes the golden streams of the store's models in use: `python -m tests.golden_streams`, once for each release.

A released stream is never made again: what lies in tests/golden/streams must decode for ever.
"""

from __future__ import annotations

from tests.conftest import ROOT
from tests.pictures import saved, scene
from virtual_codec.codec import VirtualCodec
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore, default_model_store

SUFFIXES = {"jpeg": ".jpg", "webp": ".webp", "avif": ".avif", "jpeg2000": ".jp2"}
CASES = {
    "colour": (scene(61, 83), 40),
    "coarse": (scene(96, 64, seed=1), 5),
    "fine": (scene(40, 72, seed=2), 90),
    "grey": (scene(57, 49, seed=3)[..., 0].copy(), 30),
    "grey-as-colour": (scene(45, 70, seed=4)[..., [0, 0, 0]].copy(), 30),
    "dot": (scene(1, 1), 50),
}


def main() -> None:
    """Write a stream, and the image it is restored to, for each case and scale that is not there yet."""
    store = ModelStore(default_model_store())
    codec = VirtualCodec(store, DirectRunner())
    folder = ROOT / "tests" / "golden" / "streams"
    folder.mkdir(parents=True, exist_ok=True)
    in_use = {store.default_of(name).id: store.default_of(name) for name in SUFFIXES}
    in_use |= {name: store.get(name) for model in in_use.values() for name in model.alternatives}
    for model in in_use.values():
        for coded in model.codecs:
            for name, (picture, quality) in CASES.items():
                for scale in model.scales:
                    label = name if coded == "jpeg" else f"{coded}-{name}"
                    path = folder / f"{model.id}-{label}-{scale}{SUFFIXES[coded]}"
                    if not path.exists():
                        options = CompressOptions(quality=quality, scale=scale, codec=coded, model=model.id)
                        stream = codec.compress(saved(picture), options).stream
                        path.write_bytes(stream)
                        path.with_suffix(".png").write_bytes(codec.restore(stream).image)
                        print(path.name, len(stream))


if __name__ == "__main__":
    main()
