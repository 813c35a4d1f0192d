"""Fault injection: outcomes of requests to a real server, with the real model, while faults are injected.

    python -m benchmarks.reliability                       every scenario, a quarter of an hour
    python -m benchmarks.reliability --soak 3600           the same, and an hour of mixed sizes
    python -m benchmarks.reliability kill_9 clock_jump     some of them
    python -m benchmarks.reliability bulk                  a bulk run of 1,000 images that is killed three times
    python -m benchmarks.reliability cluster               three nodes of a Ray cluster; root and the extra `ray`

    load ──► Checker ──► server ◄── fault         one row of SCENARIOS
                │
                └─► verdict: right answers, allowed refusals, lost requests

A request is lost when it ends in anything but a correct final answer: 200 with the bytes that the same server gave
without faults, or a refusal that its scenario allows, complete as the HTTP contract says. The results go into
docs/reliability.json, and docs/reliability.md is written from them.
"""
