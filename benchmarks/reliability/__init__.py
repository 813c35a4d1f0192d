"""Heavy days: what becomes of requests while things go wrong around a real server, with the real model.

    python -m benchmarks.reliability                       every scenario, a quarter of an hour
    python -m benchmarks.reliability --soak 3600           the same, and an hour of mixed sizes
    python -m benchmarks.reliability kill_9 clock_jump     some of them

    load ──► Checker ──► server ◄── fault         one row of SCENARIOS
                │
                └─► verdict: right answers, honest refusals, lost requests

A request is lost when it ends in anything but a correct final answer: 200 with the very bytes that a calm server
gave for it, or one of the refusals that its scenario makes honest, complete as the contract wants it. What was found
goes into docs/reliability.json, and docs/reliability.md is written from that.
"""
