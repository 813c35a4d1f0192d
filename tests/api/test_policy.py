"""What a browser lets our pages do: what stands in them, and nothing else."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser
from typing import final

import httpx2
import pytest

from tests.api.pretend import picture
from virtual_codec.api._policy import page_headers

PAGES = ["/", "/docs", "/problems", "/problems/bad_option"]


@final
class Reader(HTMLParser):
    """Takes a page apart as a browser does: its scripts, styles, and what runs or styles from attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self.attributes: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        if tag in self.inline:
            self.inline[tag].append("")
        self.attributes += [
            name
            for name, value in attrs
            if name.startswith("on") or name == "style" or (value or "").startswith("javascript:")
        ]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.inline:
            self.inline[self._inside][-1] += data


def policy_of(response: httpx2.Response) -> dict[str, list[str]]:
    rules = (rule.split() for rule in response.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in rules}


@pytest.mark.parametrize("path", PAGES)
async def test_exactly_what_stands_in_a_page_may_run(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"Accept": "text/html"})
    policy, page = policy_of(response), Reader(response.text)
    for name, texts in page.inline.items():
        hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
        script = ["'self'", "'wasm-unsafe-eval'"] if (path, name) == ("/", "script") else []  # for /web/restore.js
        assert policy[f"{name}-src"] == [*(hashes or ["'none'"]), *script]
    assert page.inline["style"]
    assert page.attributes == [], "handlers and styles in attributes do not run under this policy"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
    assert "unsafe" not in response.headers["content-security-policy"].replace("'wasm-unsafe-eval'", "")


async def test_nothing_but_pages_may_do_anything(client: httpx2.AsyncClient) -> None:
    answers = [
        await client.get("/healthz"),
        await client.get("/openapi.json"),
        await client.get("/nothing"),
        await client.get("/problems/bad_option"),
        await client.post("/compress", content=picture()),
        await client.post("/compress", content=b""),
    ]
    for response in answers:
        assert policy_of(response) == {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}
    for response in (*answers, await client.get("/")):
        assert policy_of(response)["frame-ancestors"] == ["'none'"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"


def test_a_page_without_scripts_runs_none() -> None:
    assert (
        "script-src 'none'"
        in page_headers("<!doctype html><style>p { color: red }</style><p>")["Content-Security-Policy"]
    )
