from __future__ import annotations

import pytest

from tests.models import make_store
from virtual_codec.codec import VirtualCodec
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def codec(store: ModelStore) -> VirtualCodec:
    return VirtualCodec(store, DirectRunner())
