"""Batcher: a state machine test, and fairness."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from virtual_codec.runner._batcher import Batcher, BatchLimits, Item

LIMITS = BatchLimits(max_items=4, max_pixels=100)
OWNERS = st.integers(0, 3)
SIZES = st.sampled_from([1, 10, 40, 100, 300])


class Machine(RuleBasedStateMachine):
    """Items come, leave, run, do not fit; batches end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.batcher = Batcher(LIMITS)
        self.waiting: list[Item] = []  # a list: what is drawn must not depend on addresses
        self.running: list[list[Item]] = []
        self.done: set[Item] = set()

    @rule(key=st.sampled_from("ab"), pixels=SIZES, owner=OWNERS)
    def add(self, key: str, pixels: int, owner: int) -> None:
        item = Item(key=key, pixels=pixels, owner=owner)
        self.batcher.add(item)
        self.waiting.append(item)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.waiting))
        assert self.batcher.discard(item)
        assert not self.batcher.discard(item)
        self.waiting.remove(item)

    @rule()
    def take(self) -> None:
        is_idle = not self.running
        batch = self.batcher.take(is_idle=is_idle)
        if not batch:
            assert not self.waiting or not is_idle, "a free slot and work, but nothing is taken"
            first = min((item.start_tag for item in self.waiting), default=None)
            assert not self.waiting or any(item.exclusive for item in self.waiting if item.start_tag == first)
            return
        assert set(batch) <= set(self.waiting), "lost, or taken twice"
        assert len({item.key for item in batch}) == 1
        assert len(batch) <= LIMITS.max_items
        assert len(batch) == 1 or sum(item.pixels for item in batch) <= self.batcher.budget_pixels
        assert not any(item.exclusive for item in batch) or (len(batch) == 1 and is_idle)
        self.waiting = [item for item in self.waiting if item not in batch]
        self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.batcher.succeeded()
        assert not self.done & set(batch), "done twice"
        self.done |= set(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def does_not_fit(self, data: st.DataObject) -> None:
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before, pixels = self.batcher.budget_pixels, sum(item.pixels for item in batch)
        self.batcher.ran_out_of_memory(batch)
        assert self.batcher.budget_pixels <= max(1, min(before, pixels) // 2)
        batch[0].exclusive = len(batch) == 1
        self.batcher.put_back(batch)
        self.waiting += batch

    @invariant()
    def nothing_is_lost(self) -> None:
        assert len(self.batcher) == len(self.waiting)
        assert self.batcher.waiting_pixels == sum(item.pixels for item in self.waiting)
        assert 1 <= self.batcher.budget_pixels <= LIMITS.max_pixels

    def teardown(self) -> None:
        self.running = []
        for _ in range(len(self.waiting)):
            self.take()
            self.running = []
        assert not self.waiting, "what waits is taken in the end"


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def item(owner: int, pixels: int = 50, key: str = "a") -> Item:
    return Item(key=key, pixels=pixels, owner=owner)


def test_a_single_tile_waits_for_one_batch_of_an_owner_with_a_thousand() -> None:
    batcher = Batcher(BatchLimits(max_items=1))
    for _ in range(1000):
        batcher.add(item(0))
    batcher.take()
    single = item(1)
    batcher.add(single)
    assert single in batcher.take() + batcher.take()


def test_endless_newcomers_do_not_starve_an_earlier_owner() -> None:
    batcher = Batcher(BatchLimits(max_items=1))
    large = [item(-1, pixels=90) for _ in range(5)]
    for each in large:
        batcher.add(each)
    taken = []
    for newcomer in range(200):
        batcher.add(item(newcomer, pixels=10))
        taken += batcher.take()
    assert all(each in taken for each in large)


def test_a_forgotten_owner_leaves_nothing_behind() -> None:
    batcher = Batcher(LIMITS)
    for owner in range(100):
        batcher.add(item(owner))
        assert batcher.take()
        batcher.forget(owner)
    assert batcher.owners == 0


def test_fair_shares_are_counted_in_pixels() -> None:
    batcher = Batcher(BatchLimits(max_items=1))
    for _ in range(3):
        batcher.add(item(0, pixels=90))
    for _ in range(9):
        batcher.add(item(1, pixels=10))
    taken = [batcher.take()[0].owner for _ in range(12)]
    assert taken.count(1) == 9
    assert taken.index(0, 1) >= 9, "nine small ones are worth one large one"


def test_tiles_of_different_jobs_share_a_batch_and_different_shapes_never() -> None:
    batcher = Batcher(LIMITS)
    for owner, key in ((0, "a"), (1, "b"), (2, "a")):
        batcher.add(item(owner, pixels=10, key=key))
    assert [it.owner for it in batcher.take()] == [0, 2]
    assert [it.owner for it in batcher.take()] == [1]


def test_a_budget_that_was_halved_recovers_slowly_and_not_above_its_limit() -> None:
    batcher = Batcher(LIMITS)
    batcher.ran_out_of_memory([item(0, pixels=60), item(1, pixels=40)])
    assert batcher.budget_pixels == 50
    for _ in range(15):
        batcher.succeeded()
    assert batcher.budget_pixels == 50
    batcher.succeeded()
    assert 50 < batcher.budget_pixels < 100
    for _ in range(1000):
        batcher.succeeded()
    assert batcher.budget_pixels == 100
