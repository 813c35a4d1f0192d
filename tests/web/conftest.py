"""Browsers, and a host with the files of the site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.browser import BROWSER, Tab, browsing
from tests.conftest import ROOT
from tests.web.firefox import FIREFOX, FirefoxTab, browsing_firefox
from tests.web.pages import PAGE, PAGE_SCRIPT, STRICT
from tests.web.static_host import StaticHost, hosting
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.store import ModelStore
from virtual_codec.web import WebFile, WebSite


@pytest.fixture(scope="module")
def site() -> list[WebFile]:
    return WebSite().export(ModelStore(ROOT / "model_store"))


@pytest.fixture(scope="module")
def codec() -> Iterator[VirtualCodec]:
    opened = open_codec(ROOT / "model_store")
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def tab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab | FirefoxTab]:
    folder = tmp_path_factory.mktemp("browser")
    if request.param == "chromium":
        if BROWSER is None:
            pytest.skip("there is no Chromium here")
        with browsing(folder) as opened:
            yield opened
    else:
        if FIREFOX is None:
            pytest.skip("there is no Firefox here")
        pytest.importorskip("websockets")
        with browsing_firefox(folder) as fox:
            yield fox


@pytest.fixture(scope="module")
def shared_host(site: list[WebFile]) -> Iterator[StaticHost]:
    with hosting(StaticHost(site, policy=STRICT)) as running:
        running.put("favicon.ico", b"")
        running.put("index.html", PAGE)
        running.put("page.js", PAGE_SCRIPT)
        yield running


@pytest.fixture
def host(shared_host: StaticHost, tab: Tab) -> StaticHost:
    """A host with a strict policy, whose page is open and has imported the script."""
    tab.open(f"{shared_host.url}/index.html")
    tab.wait_for("window.restored")
    return shared_host
