"""The queries of the Grafana dashboard, as they are sent to Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from tests.conftest import ROOT

DASHBOARD: Final = ROOT / "docker" / "grafana" / "dashboards" / "virtual-codec.json"

# What Grafana puts in place of variables: everything is chosen, and Prometheus scrapes every ten seconds.
_VARIABLES: Final = {"$__rate_interval": "1m", "$instance": ".*", "$route": "/compress|/decompress"}


def expressions() -> Iterator[str]:
    """The query of every target of every panel, and of every annotation."""
    for _, expression in panel_expressions():
        yield expression
    for annotation in json.loads(DASHBOARD.read_text(encoding="utf-8"))["annotations"]["list"]:
        if "expr" in annotation:
            yield _filled(annotation["expr"])


def panel_expressions() -> Iterator[tuple[str, str]]:
    """The title of a panel and the query of a target of it, for all of them."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], _filled(target["expr"])


def _filled(expression: str) -> str:
    for variable, value in _VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression
