"""Settings come from the environment, with messages that name the variable."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from virtual_codec.local_settings import LocalSettings
from virtual_codec.settings import Settings, describe, unknown_variables


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in describe():
        monkeypatch.delenv(setting.variable, raising=False)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings.load()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.max_body_bytes == 64 * 2**20
    assert (settings.max_pixels, settings.max_side, settings.max_scans) == (50_000_000, 65_535, 64)
    assert settings.timeout_s == 120
    assert settings.model_store.name in ("model_store", "_model_store")


def test_a_variable_overrides_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_PORT", "9000")
    monkeypatch.setenv("VCODEC_MODEL_STORE", "/models")
    monkeypatch.setenv("VCODEC_DEVICES", "cuda:0, cuda:1")
    settings = Settings.load()
    assert settings.port == 9000
    assert settings.model_store == Path("/models")
    assert settings.devices == "cuda:0, cuda:1"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_PORT", "")
    assert Settings.load().port == 8000


def test_given_values_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_PORT", "9000")
    assert Settings.load(port=9001).port == 9001


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VCODEC_PORT", "99999"),
        ("VCODEC_PORT", "http"),
        ("VCODEC_DEVICES", "cuda;0"),
        ("VCODEC_POOL", "swarm"),
        ("VCODEC_MAX_EFFORT", "10"),
        ("VCODEC_TIMEOUT_S", "0"),
        ("VCODEC_RAY_MAX_REPLICAS", "1"),
        ("VCODEC_TIMEOUT_S", "601"),
        ("VCODEC_LOG_FORMAT", "xml"),
        ("VCODEC_THREADS", "0"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable}.*{value}"):
        Settings.load()


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_PORT", "-1")
    monkeypatch.setenv("VCODEC_MAX_PIXELS", "0")
    with pytest.raises(ValueError, match=r"VCODEC_PORT.*\nVCODEC_MAX_PIXELS"):
        Settings.load()


def test_keys_are_secrets_or_digests_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"two").hexdigest()
    monkeypatch.setenv("VCODEC_API_KEYS", f"hunter2, sha256:{digest}")
    settings = Settings.load()
    assert [key.digest for key in settings.keys] == [hashlib.sha256(key).digest() for key in (b"hunter2", b"two")]
    assert "hunter2" not in repr(settings)
    monkeypatch.setenv("VCODEC_API_KEYS", "sha256:hush")
    with pytest.raises(ValueError, match="VCODEC_API_KEYS") as caught:
        Settings.load()
    assert "hush" not in str(caught.value)


def test_quotas_without_keys_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_KEY_REQUESTS", "60/minute")
    with pytest.raises(ValueError, match="VCODEC_API_KEYS_FILE"):
        Settings.load()
    monkeypatch.setenv("VCODEC_API_KEYS", "hunter2")
    assert Settings.load().key_requests == "60/minute"
    monkeypatch.setenv("VCODEC_KEY_MEGAPIXELS", "lots")
    with pytest.raises(ValueError, match="VCODEC_KEY_MEGAPIXELS"):
        Settings.load()


def test_every_setting_is_described() -> None:
    described = describe()
    assert [setting.variable for setting in described][:2] == ["VCODEC_HOST", "VCODEC_PORT"]
    assert all(setting.meaning and setting.default for setting in described)
    assert len(described) == len(Settings.model_fields)


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("VCODEC_PORT", "http", "it takes: a whole number from 0 to 65535"),
        ("VCODEC_TIMEOUT_S", "-1", "it takes: a number above 0 to 86400"),
        ("VCODEC_POOL", "swarm", "it takes: local, inline, ray"),
        (
            "VCODEC_DEVICES",
            "cuda;0",
            "it takes: auto (every CUDA device, else the CPU) or a list such as cuda:0,cuda:1",
        ),
        ("VCODEC_THREADS", "0", "it takes: a whole number from 1 to 256"),
    ],
)
def test_what_would_be_right_is_said(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, right: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=re.escape(right)):
        Settings.load()


def test_settings_that_contradict_each_other_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VCODEC_ADMIN_PORT", "8000")
    monkeypatch.setenv("VCODEC_TIMEOUT_S", "700")
    monkeypatch.setenv("VCODEC_KEY_REQUESTS", "60/minute")
    with pytest.raises(ValueError, match=r"KEY_REQUESTS.*\n.*ADMIN_PORT.*\n.*MAX_TIMEOUT_S"):
        Settings.load()


def test_an_unknown_variable_is_reported_with_the_most_similar_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = unknown_variables()
    monkeypatch.setenv("VCODEC_PROT", "9000")
    monkeypatch.setenv("VCODEC_API_KEY", "hunter2")
    monkeypatch.setenv("VCODEC_ZZZ", "1")
    monkeypatch.setenv("PORT", "1")
    told = dict(it for it in unknown_variables() if it not in before)
    assert told == {"VCODEC_API_KEY": "VCODEC_API_KEYS", "VCODEC_PROT": "VCODEC_PORT", "VCODEC_ZZZ": None}


def test_every_setting_with_a_range_or_choices_says_so() -> None:
    takes = {it.variable: it.allowed for it in describe()}
    assert takes["VCODEC_LOG_FORMAT"] == "auto, text, json"
    assert takes["VCODEC_HOST"] == ""
    assert takes["VCODEC_MAX_EFFORT"] == "a whole number from 0 to 9"
    assert takes["VCODEC_DRAIN_DELAY_S"] == "a number from 0 to 600"


def test_commands_without_a_server_read_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {"VCODEC_MODEL_STORE": str(tmp_path), "vcodec_devices": "cuda:0, cuda:1", "VCODEC_MAX_SIDE": "900"}
    for variables in ({}, given, {"VCODEC_DEVICES": "", "VCODEC_MAX_SCANS": "7"}):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings, local = Settings.load(), LocalSettings.load()
        assert (local.model_store, local.devices) == (settings.model_store, settings.devices)
        assert local.image_limits == settings.image_limits


def test_commands_without_a_server_name_every_wrong_variable() -> None:
    with pytest.raises(ValueError, match=r"VCODEC_DEVICES: .*got 'gpu!'.*\nVCODEC_MAX_SIDE: must be a whole number"):
        LocalSettings.load({"VCODEC_DEVICES": "gpu!", "VCODEC_MAX_SIDE": "wide"})
    with pytest.raises(ValueError, match=r"^VCODEC_MAX_PIXELS: must be at least 1, got 0$"):
        LocalSettings.load({"VCODEC_MAX_PIXELS": "0"})
