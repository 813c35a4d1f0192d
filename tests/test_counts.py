from __future__ import annotations

from virtual_codec.counts import Distribution, RunnerCounts


def test_a_value_is_counted_at_the_first_bound_that_holds_it() -> None:
    values = Distribution(bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        values = values.with_value(value)
    assert values.counts == (2, 2, 1)
    assert values.total == 14.0


def test_counts_of_two_runners_add_up() -> None:
    one = RunnerCounts(items=RunnerCounts().items.with_value(3), out_of_memory=1)
    two = RunnerCounts(items=RunnerCounts().items.with_value(1), waiting_items=2)
    both = one + two
    assert both.batches == 2
    assert both.items.total == 4
    assert (both.out_of_memory, both.waiting_items) == (1, 2)
