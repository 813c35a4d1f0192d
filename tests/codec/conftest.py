from __future__ import annotations

import pytest

from service.codec import VirtualCodec
from service.runner import DirectRunner
from service.store import ModelStore
from tests.models import make_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def codec(store: ModelStore) -> VirtualCodec:
    return VirtualCodec(store, DirectRunner())
