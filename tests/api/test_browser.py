"""The pages in a real browser: they do what they should, and what is smuggled into them does nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.browser import BROWSER, Tab, browsing
from tests.api.pretend import picture, write_store
from tests.api.test_server import serving
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")]

SMUGGLED = {
    "a script": """
        const script = document.createElement("script");
        script.textContent = "window.smuggled = 1";
        document.body.append(script)
    """,
    "a handler": """
        const image = document.createElement("img");
        image.setAttribute("onerror", "window.smuggled = 1");
        image.src = "/nothing"
    """,
    "text as code": "setTimeout('window.smuggled = 1', 0)",
    "markup": "document.body.innerHTML += '<img src=/nothing onerror=\"window.smuggled = 1\">'",
    "a style": """
        document.body.setAttribute("style", "display: none");
        if (getComputedStyle(document.body).display == "none") window.smuggled = 1
    """,
    "another server": """
        fetch("http://127.0.0.1:1/").catch(() => {});
        new Image().src = "http://127.0.0.1:1/x.png"
    """,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(write_store(tmp_path_factory.mktemp("store"))) as running:
        yield running


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browsing(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def test_the_documentation_is_drawn_by_its_script(server: ServerProcess, tab: Tab) -> None:
    tab.open(f"{server.url}/docs")
    tab.wait_for("document.querySelectorAll('details').length >= 8")
    assert "/compress" in tab.run("document.body.innerText")
    assert tab.complaints == []


def test_a_picture_goes_through_the_playground(server: ServerProcess, tab: Tab) -> None:
    tab.open(server.url)
    assert tab.complaints == []
    image = base64.b64encode(picture(size=(8, 8))).decode()
    tab.run(
        f"openFile(new File([Uint8Array.from(atob('{image}'), c => c.charCodeAt(0))], 'a.png', {{type: 'image/png'}}))"
    )
    # This server's codec only pretends to compress, so the second request of the page is refused by its probe.
    tab.wait_for("!document.getElementById('wrong').hidden || !document.getElementById('facts').hidden")
    assert not any("Content Security Policy" in text for text in tab.complaints)


def test_the_page_of_a_problem_is_styled(server: ServerProcess, tab: Tab) -> None:
    tab.open(f"{server.url}/problems/bad_option")
    assert tab.run("getComputedStyle(document.body).maxWidth") != "none"
    assert tab.complaints == []


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/bad_option"])
@pytest.mark.parametrize("smuggled", SMUGGLED.values(), ids=list(SMUGGLED))
def test_an_injected_script_does_not_run(server: ServerProcess, tab: Tab, path: str, smuggled: str) -> None:
    tab.open(server.url + path)
    tab.run(f"(() => {{ try {{ {smuggled} }} catch (error) {{}} }})()")
    tab.run("new Promise(done => setTimeout(done, 300))")
    assert tab.run("window.smuggled") is None
    assert any("Content Security Policy" in text or "requires 'Trusted" in text for text in tab.complaints), (
        tab.complaints
    )


def test_no_other_page_can_frame_ours(server: ServerProcess, tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "frame.html").write_text(f"<iframe src='{server.url}/' id='frame'></iframe>")
    tab.open((tmp_path / "frame.html").as_uri())
    tab.run("new Promise(done => setTimeout(done, 500))")
    assert any("frame-ancestors" in text for text in tab.complaints), tab.complaints
