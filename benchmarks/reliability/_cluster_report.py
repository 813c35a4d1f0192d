"""Results of the cluster of several nodes, as sentences and as a part of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BY_RAY: Final = frozenset({"serve run: kill_api", "serve run: kill_node"})
"""Faults that end requests inside Ray's proxy, which does not retry them."""


def cluster_failures(it: Mapping[str, Any]) -> list[str]:
    """Rows with a lost request as sentences, without those of `BY_RAY`."""
    return [
        f"cluster, {name}: {row['lost']} lost: {row['lost_first']}"
        for name, row in it["rows"].items()
        if row["lost"] and name not in BY_RAY
    ]


def cluster_section(it: Mapping[str, Any]) -> list[str]:
    """Lines of the page about the cluster."""
    if "skipped" in it:
        return ["## A cluster of several nodes", "", f"Not done here: {it['skipped']}.", ""]
    lines = [
        "## A cluster of several nodes",
        "",
        (
            f"{it['nodes']} nodes of a Ray cluster are network namespaces of one machine, each with its own address: "
            f"the head, which has no replica, and two others. {it['replicas']} replicas of the codec; {it['clients']} "
            "callers in a closed loop; right answers as above. `--pool ray` is `vcodec serve` on the head node, which "
            "`VCODEC_RAY_ADDRESS` attaches to the cluster; that asks for a token. Under `serve run` there are two API "
            "replicas, and callers take the proxies of all nodes in turn; where a connection fails they take the next, "
            "as a load balancer does (*sent again*)."
        ),
        "",
        "| fault | requests | **lost** | retries | sent again | slowest | all well again after |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in it["rows"].items():
        kind, _, fault = name.partition(": ")
        lines.append(
            f"| `{kind}`, {fault.replace('_', ' ')} | {row['requests']} | **{row['lost']}** | {row['retries']} | "
            f"{sum(row['sent_again'].values())} | {row['slowest_ms'] / 1000:.1f} s | {row['recovery_s']} s |"
        )
    lines.append("")
    faults = {name.partition(": ")[2]: row["description"] for name, row in it["rows"].items()}
    lines += [" ".join(f"*{name.replace('_', ' ').capitalize()}*: {text}." for name, text in faults.items()), ""]
    lost = [f"`{name}`: {'; '.join(row['lost_first'])}" for name, row in it["rows"].items() if row["lost"]]
    if lost:
        lines += [
            "Ray's proxy answers 500 for the requests that an API replica had when it ended; it tries none again.",
            "",
        ]
    return [*lines, *([f"Lost, the first: {'. '.join(lost)}.", ""] if lost else [])]
