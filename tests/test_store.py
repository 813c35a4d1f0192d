"""The models on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models import list_alternatives, make_store
from virtual_codec.errors import BadModel, ModelNotFound
from virtual_codec.json_object import JsonObject
from virtual_codec.store import Manifest, ModelStore, NetworkEntry, model_id

WEIGHTS = {"description-2": b"shrink", "postprocess-1": b"clean", "postprocess-2": b"enlarge"}


def entries(seed: str = "") -> dict[str, NetworkEntry]:
    return {
        key: NetworkEntry(
            architecture=key.split("-")[0],
            arguments={"channels": 48, "slope": 0.5, "residual": True, "act": "relu"},
            file=f"{key}.safetensors",
            sha256=hashlib.sha256(weights + seed.encode()).hexdigest(),
        )
        for key, weights in WEIGHTS.items()
    }


def manifest_of(name: str, /, **changes: Any) -> dict[str, Any]:
    networks = entries(name)
    fields: dict[str, Any] = {
        "format": 1,
        "name": name,
        "id": model_id(networks),
        "created": "2026-11-22",
        "codecs": ["jpeg"],
        "networks": {key: asdict(entry) for key, entry in networks.items()},
        "tables": {"steps-2": [1.0, 2.5]},
        "metrics": {"bd_rate": -30.5},
    }
    return fields | changes


def add_model(root: Path, name: str, /, **changes: Any) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest_of(name, **changes)))
    for key, weights in WEIGHTS.items():
        (folder / f"{key}.safetensors").write_bytes(weights + name.encode())
    return folder


def test_a_manifest_without_encoder_parameters_has_the_defaults(tmp_path: Path) -> None:
    add_model(tmp_path, "first")
    add_model(tmp_path, "second", encoder={"chroma_dc": 0.7})
    add_model(tmp_path, "third", encoder={"chroma_dc": 0.0})
    (tmp_path / "CURRENT").write_text("second\n")
    store = ModelStore(tmp_path, tolerant=True)
    assert [store.get(name).encoder.chroma_dc for name in ("first", "second")] == [1.0, 0.7]
    assert "chroma_dc" in store.damaged["third"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_model(tmp_path, "first")
    add_model(tmp_path, "second")
    (tmp_path / "CURRENT").write_text("second\n")
    return tmp_path


def test_the_store_lists_its_models_and_the_default(root: Path) -> None:
    store = ModelStore(root)
    assert [model.name for model in store.models()] == ["first", "second"]
    assert store.default.name == "second"
    assert store.default.scales == [1, 2]


def test_a_model_is_found_by_name_and_by_id(root: Path) -> None:
    store = ModelStore(root)
    first = store.get("first")
    assert store.get(first.id) is first
    assert len(first.id) == 8


def test_an_unknown_model_is_answered_with_what_there_is(root: Path) -> None:
    store = ModelStore(root)
    with pytest.raises(ModelNotFound, match=r"no model 'third'; have first \([0-9a-f]{8}\), second"):
        store.get("third")


def test_weights_come_back_as_they_were_made(root: Path) -> None:
    store = ModelStore(root)
    assert store.weights(store.get("first"), "postprocess-2") == b"enlargefirst"


def test_changed_weights_are_refused(root: Path) -> None:
    store = ModelStore(root)
    (root / "first" / "postprocess-2.safetensors").write_bytes(b"enlargefirsT")
    with pytest.raises(BadModel, match="not what its manifest says"):
        store.weights(store.get("first"), "postprocess-2")


def test_weights_that_vanished_are_refused(root: Path) -> None:
    store = ModelStore(root)
    (root / "first" / "postprocess-2.safetensors").unlink()
    with pytest.raises(BadModel, match="cannot be read"):
        store.weights(store.get("first"), "postprocess-2")


def test_a_network_that_the_model_lacks_is_refused(root: Path) -> None:
    store = ModelStore(root)
    with pytest.raises(BadModel, match=r"no network 'postprocess-4'; have description-2, postprocess-1"):
        store.weights(store.default, "postprocess-4")


def test_the_id_is_frozen() -> None:
    entry = NetworkEntry(architecture="plain", arguments={"width": 48}, file="a.safetensors", sha256="0" * 63 + "1")
    text = b'{"postprocess-2":{"architecture":"plain","arguments":{"width":48},"sha256":"' + b"0" * 63 + b'1"}}'
    assert model_id({"postprocess-2": entry}) == hashlib.sha256(text).hexdigest()[:8] == "bf8fb077"


def test_the_id_depends_on_what_restoring_needs_only() -> None:
    networks = entries()
    sha256 = "0" * 64
    other_description = networks | {"description-2": replace(networks["description-2"], sha256=sha256)}
    other_postprocess = networks | {"postprocess-1": replace(networks["postprocess-1"], sha256=sha256)}
    other_file = networks | {"postprocess-1": replace(networks["postprocess-1"], file="z.safetensors")}
    assert model_id(networks) == model_id(other_description) == model_id(other_file)
    assert model_id(networks) == model_id(dict(reversed(networks.items())))
    assert model_id(networks) != model_id(other_postprocess)


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(
            st.integers(-(2**53), 2**53),
            st.booleans(),
            st.text(max_size=8),
            st.floats(allow_nan=False, width=32),
        ),
    )
)
def test_the_id_survives_being_written_and_read(arguments: dict[str, int | float | str | bool]) -> None:
    arguments = {key: value for key, value in arguments.items() if value not in (float("inf"), float("-inf"))}
    entry = NetworkEntry(architecture="plain", arguments=arguments, file="a.safetensors", sha256="a" * 64)
    again = NetworkEntry.read(JsonObject.parse(json.dumps(asdict(entry)).encode()))
    assert again == entry
    assert model_id({"postprocess-1": again}) == model_id({"postprocess-1": entry})


def test_a_manifest_survives_being_written_and_read() -> None:
    manifest = Manifest.from_json(json.dumps(manifest_of("first")))
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_retired_model_needs_no_description_network(root: Path) -> None:
    folder = add_model(root, "old", retired=True)
    (folder / "description-2.safetensors").unlink()
    assert ModelStore(root).get("old").retired


def test_an_empty_store_opens_without_a_default(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.models() == []
    with pytest.raises(ModelNotFound, match="empty"):
        _ = store.default
    with pytest.raises(ModelNotFound, match="have none"):
        store.get("first")


def test_hidden_folders_and_loose_files_are_passed_over(root: Path) -> None:
    (root / ".being-written").mkdir()
    (root / "README.md").write_text("models")
    assert len(ModelStore(root).models()) == 2


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no model store"):
        ModelStore(tmp_path / "nowhere")


@pytest.mark.parametrize("current", ["third", "", "../first", "old"])
def test_a_default_that_is_no_model_in_use_is_refused(root: Path, current: str) -> None:
    add_model(root, "old", retired=True)
    (root / "CURRENT").write_text(current)
    with pytest.raises(BadModel, match=r"CURRENT names .* have first, second"):
        ModelStore(root)


def test_a_store_without_a_default_is_refused(root: Path) -> None:
    (root / "CURRENT").unlink()
    with pytest.raises(BadModel, match="no readable CURRENT"):
        ModelStore(root)
    (root / "CURRENT").write_bytes(b"\xff\xfe")
    with pytest.raises(BadModel, match="no readable CURRENT"):
        ModelStore(root)


def test_a_folder_without_a_manifest_is_refused(root: Path) -> None:
    (root / "third").mkdir()
    with pytest.raises(BadModel, match=r"third has no readable manifest"):
        ModelStore(root)


def test_a_folder_that_lacks_weights_is_refused(root: Path) -> None:
    (root / "first" / "description-2.safetensors").unlink()
    with pytest.raises(BadModel, match=r"lacks description-2\.safetensors, the weights of description-2"):
        ModelStore(root)


def test_a_folder_that_was_renamed_is_refused(root: Path) -> None:
    (root / "first").rename(root / "third")
    with pytest.raises(BadModel, match="third holds the manifest of first"):
        ModelStore(root)


def test_two_models_never_share_an_id(root: Path) -> None:
    first = manifest_of("first")
    add_model(root, "third", id=first["id"], networks=first["networks"])
    with pytest.raises(BadModel, match="first and third share the id"):
        ModelStore(root)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"{}", b"null"])
def test_a_manifest_that_is_none_is_refused(root: Path, text: bytes) -> None:
    (root / "first" / "manifest.json").write_bytes(text)
    with pytest.raises(BadModel, match=r"model first: manifest\.json: "):
        ModelStore(root)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"format": 2}, "format: "),
        ({"id": "0badf00d"}, "the id is 0badf00d, but its postprocess networks make it"),
        ({"id": "0BADF00D"}, "id: "),
        ({"name": "../second"}, "name: "),
        ({"name": "0badf00d"}, "looks like an id"),
        ({"created": "yesterday"}, "created: "),
        ({"codecs": []}, "codecs: "),
        ({"networks": {}}, "no postprocess network"),
        ({"colour": "red"}, "colour: "),
        ({"tables": {"steps": ["x"]}}, r"tables.steps.0: "),
        ({"metrics": {"psnr": "high"}}, "metrics.psnr: "),
    ],
)
def test_a_manifest_that_cannot_be_is_refused_by_field(root: Path, changes: dict[str, Any], what: str) -> None:
    (root / "first" / "manifest.json").write_text(json.dumps(manifest_of("first", **changes)))
    with pytest.raises(BadModel, match=what):
        ModelStore(root)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", "../second/postprocess-1.safetensors"),
        ("file", "/etc/passwd"),
        ("file", "..\\x.safetensors"),
        ("file", ".safetensors"),
        ("file", "weights.pkl"),
        ("file", "a.safetensors\n"),
        ("sha256", "abc"),
        ("architecture", ""),
        ("arguments", {"channels": None}),
        ("arguments", {"channels": [1]}),
        ("pickle", True),
    ],
)
def test_an_entry_that_cannot_be_is_refused(root: Path, field: str, value: object) -> None:
    manifest = manifest_of("first")
    manifest["networks"]["postprocess-1"][field] = value
    (root / "first" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadModel, match=rf"model first: manifest.json: networks.postprocess-1.{field}"):
        ModelStore(root)


@pytest.mark.parametrize("key", ["postprocess", "postprocess-0", "post process-1", "../postprocess-1"])
def test_a_network_key_names_a_role_and_a_scale(root: Path, key: str) -> None:
    manifest = manifest_of("first")
    manifest["networks"][key] = manifest["networks"]["postprocess-1"]
    (root / "first" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadModel, match=r"manifest\.json: networks"):
        ModelStore(root)


@pytest.mark.parametrize("name", ["first", "0"])
def test_a_default_may_be_named_in_place_of_current(root: Path, name: str) -> None:
    first = ModelStore(root).get("first")
    (root / "CURRENT").write_text("nonsense")
    store = ModelStore(root, default=name if name == "first" else first.id)
    assert store.default == first


def test_a_codec_that_the_default_lacks_has_a_model_of_its_own(root: Path) -> None:
    add_model(root, "older", codecs=["webp", "avif"], created="2026-01-03")
    add_model(root, "newer", codecs=["avif"], created="2026-01-04")
    add_model(root, "newest", codecs=["avif"], created="2026-01-05", retired=True)
    store = ModelStore(root)
    assert [store.default_of(codec).name for codec in ("jpeg", "webp", "avif", "jpeg2000")] == [
        "second",
        "older",
        "newer",
        "second",
    ]


def test_a_default_that_is_retired_or_unknown_is_refused(root: Path) -> None:
    add_model(root, "old", retired=True)
    with pytest.raises(ModelNotFound, match="old is retired"):
        ModelStore(root, default="old")
    with pytest.raises(ModelNotFound, match="no model 'third'"):
        ModelStore(root, default="third")


def test_a_tolerant_store_passes_over_what_is_damaged_and_says_so(root: Path) -> None:
    (root / "first" / "manifest.json").unlink()
    (root / "half-copied").mkdir()
    store = ModelStore(root, tolerant=True)
    assert [model.name for model in store.models()] == ["second"]
    assert list(store.damaged) == ["first", "half-copied"]
    with pytest.raises(BadModel, match=r"first has no readable manifest\.json"):
        store.get("first")


def test_not_even_a_tolerant_store_passes_over_the_default(root: Path) -> None:
    (root / "second" / "postprocess-1.safetensors").unlink()
    with pytest.raises(BadModel, match="second lacks"):
        ModelStore(root, tolerant=True)
    with pytest.raises(BadModel, match="second lacks"):
        ModelStore(root, default="second", tolerant=True)
    assert ModelStore(root, default="first", tolerant=True).default.name == "first"


def test_of_two_with_one_id_the_default_stays(root: Path) -> None:
    second = manifest_of("second")
    add_model(root, "copy", id=second["id"], networks=second["networks"])
    store = ModelStore(root, tolerant=True)
    assert store.default.name == "second"
    assert store.damaged == {"copy": f"models copy and second share the id {second['id']}; an id is never reused"}


def test_a_models_weight_is_that_of_its_files(root: Path) -> None:
    store = ModelStore(root)
    first = store.get("first")
    assert store.size_bytes(first) == sum(len(weights + b"first") for weights in WEIGHTS.values())
    (root / "first" / "postprocess-1.safetensors").unlink()
    with pytest.raises(BadModel, match="cannot be read"):
        store.size_bytes(first)


def test_the_size_of_a_model_counts_what_its_alternatives_restore_with(tmp_path: Path) -> None:
    alternative = make_store(tmp_path, name="drawings", seed=1)
    plain = make_store(tmp_path, name="photographs", seed=2)
    own = plain.size_bytes(plain.default)
    list_alternatives(plain, [alternative.default.id, "00000000"])
    files = ["postprocess-1.safetensors", "postprocess-2.safetensors"]
    sizes = [(tmp_path / "drawings" / file).stat().st_size for file in files]
    store = ModelStore(tmp_path)
    assert store.size_bytes(store.default) == own + sum(sizes)
    (tmp_path / "drawings" / files[0]).unlink()
    assert store.size_bytes(store.default) == own + sizes[1]
