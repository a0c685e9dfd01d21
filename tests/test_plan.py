"""
The plan of looks: pure, so that its time is a number in the test's hand.
"""

import math

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kling_async.plan import PollPlan
from kling_async.policy import PollPolicy

STEADY = PollPolicy(first_delay=2.0, growth=1.5, max_delay=4.0, miss_delay=0.5)


@pytest.fixture
def plan() -> PollPlan:
    return PollPlan(STEADY)


def test_nothing_is_planned_at_first(plan: PollPlan) -> None:
    """
    An empty plan has no turn.
    """
    assert math.inf == plan.next_turn()
    assert [] == plan.due(now=1e9)
    assert len(plan) == 0


def test_delays_grow_from_look_to_look(plan: PollPlan) -> None:
    """
    The first look comes after the first delay, each further one later, up to the longest delay.
    """
    plan.add("a", now=0.0)
    turns = []
    for _ in range(4):
        turns.append(plan.next_turn())
        assert ["a"] == plan.due(turns[-1])
        plan.looked("a", turns[-1])

    assert [2.0, 5.0, 9.0, 13.0] == turns


def test_task_of_unknown_age_is_looked_at_at_once(plan: PollPlan) -> None:
    """
    A task that was picked up has its turn now, and the usual delays from then on.
    """
    plan.add("a", now=7.0, at_once=True)
    assert ["a"] == plan.due(now=7.0)

    plan.looked("a", now=7.5)

    assert plan.next_turn() == 9.5


def test_task_being_looked_at_has_no_turn(plan: PollPlan) -> None:
    """
    A look that takes long is not followed by another before it ends.
    """
    plan.add("a", now=0.0)
    plan.due(now=2.0)

    assert [] == plan.due(now=100.0)
    assert math.inf == plan.next_turn()


def test_broken_look_is_repeated_soon(plan: PollPlan) -> None:
    """
    After a look that broke the next comes soon, after each further one later; an answer ends the row.
    """
    plan.add("a", now=0.0)
    now, pauses = 2.0, []
    for _ in range(12):
        assert ["a"] == plan.due(now)
        plan.missed("a", now)
        pauses.append(plan.next_turn() - now)
        now = plan.next_turn()

    assert pytest.approx([STEADY.after_misses(misses) for misses in range(1, 13)]) == pauses
    assert pytest.approx([0.5, 4.0]) == [pauses[0], pauses[-1]]

    plan.due(now)
    plan.looked("a", now)
    now = plan.next_turn()
    plan.due(now)
    plan.missed("a", now)

    assert plan.next_turn() == now + 0.5


def test_look_is_booked_once(plan: PollPlan) -> None:
    """
    What is booked stays as it is, whatever a late look reports.
    """
    plan.add("a", now=0.0)
    plan.looked("a", now=1.0)
    plan.missed("a", now=1.0)

    assert plan.next_turn() == 2.0
    assert ["a"] == plan.due(now=50.0)
    assert math.inf == plan.next_turn()


def test_dropped_task_has_no_turn(plan: PollPlan) -> None:
    """
    Dropping forgets the turn, also that of a task being looked at; dropping a stranger is no error.
    """
    plan.add("a", now=0.0)
    plan.add("b", now=0.0)
    plan.drop("a")
    plan.drop("stranger")
    assert ["b"] == plan.due(now=2.0)
    plan.drop("b")
    plan.looked("b", now=2.1)
    plan.missed("b", now=2.1)

    assert math.inf == plan.next_turn()
    assert len(plan) == 0


def test_added_again_it_starts_afresh(plan: PollPlan) -> None:
    """
    The turns from before the dropping count no more.
    """
    plan.add("a", now=0.0)
    plan.drop("a")
    plan.add("a", now=1.5)

    assert plan.next_turn() == 3.5
    assert [] == plan.due(now=2.0)
    assert ["a"] == plan.due(now=3.5)


def test_ties_keep_their_order(plan: PollPlan) -> None:
    """
    Tasks of the same moment have their turns in the order in which they were added.
    """
    names = [f"task-{number}" for number in (3, 1, 2, 0)]
    for name in names:
        plan.add(name, now=0.0)

    assert names == plan.due(now=2.0)


def test_no_more_than_asked_for(plan: PollPlan) -> None:
    """
    Those that find no place keep their turn, the longest due first.
    """
    for age, name in enumerate("abc"):
        plan.add(name, now=age / 10)

    assert ["a", "b"] == plan.due(now=9.0, most=2)
    assert [] == plan.due(now=9.0, most=0)
    assert plan.next_turn() < 9.0
    assert ["c"] == plan.due(now=9.0, most=2)


def test_pause_holds_for_all(plan: PollPlan) -> None:
    """
    Nothing is due while the service rests, and a shorter pause does not end a longer one.
    """
    plan.add("a", now=0.0)
    plan.add("b", now=10.0)
    plan.pause(until=8.0)
    plan.pause(until=3.0)

    assert plan.next_turn() == 8.0
    assert [] == plan.due(now=7.9)
    assert ["a"] == plan.due(now=8.0)
    assert plan.next_turn() == 12.0


@given(
    ages=st.lists(st.floats(0, 50), min_size=1, max_size=20),
    policy=st.builds(PollPolicy, first_delay=st.floats(0.1, 5), growth=st.floats(1, 3), max_delay=st.floats(0.1, 10)),
    most=st.integers(1, 5),
)
def test_everything_comes_in_time(ages: list[float], policy: PollPolicy, most: int) -> None:
    """
    Followed to the letter, the plan leaves no task longer than its delay, and gives turns in order of time.
    """
    plan = PollPlan(policy)
    longest = max(policy.first_delay, policy.max_delay)
    last = {f"{number}": age for number, age in enumerate(ages)}
    for name, age in sorted(last.items(), key=lambda item: item[1]):
        plan.add(name, age)
    now = 0.0
    for _ in range(5 * len(ages)):
        assert now <= plan.next_turn() + 1e-9
        now = max(now, plan.next_turn())
        due = plan.due(now, most)
        assert due
        for name in due:
            assert now - last[name] <= longest + 1e-9
            last[name] = now
            plan.looked(name, now)


class PlanMachine(RuleBasedStateMachine):
    """
    Compares the plan with a dictionary of turns, whatever is added, dropped, looked at, missed and paused.
    """

    names = st.sampled_from("abcd")

    @initialize()
    def start(self) -> None:
        self.plan = PollPlan(STEADY)
        self.now = 0.0
        self.turns: dict[str, float] = {}  # not before which moment
        self.under_way: set[str] = set()
        self.known: set[str] = set()
        self.paused_until = -math.inf

    @rule(name=names, at_once=st.booleans())
    def add(self, name: str, *, at_once: bool) -> None:
        self.plan.add(name, self.now, at_once=at_once)
        self.known.add(name)
        self.under_way.discard(name)
        self.turns[name] = self.now if at_once else self.now + 2.0

    @rule(name=names)
    def drop(self, name: str) -> None:
        self.plan.drop(name)
        self.turns.pop(name, None)
        self.known.discard(name)
        self.under_way.discard(name)

    @rule(name=names, is_broken=st.booleans())
    def end_look(self, name: str, *, is_broken: bool) -> None:
        (self.plan.missed if is_broken else self.plan.looked)(name, self.now)
        if name in self.under_way:
            self.under_way.discard(name)
            self.turns[name] = self.now

    @rule(seconds=st.floats(0, 6))
    def pause(self, seconds: float) -> None:
        self.plan.pause(self.now + seconds)
        self.paused_until = max(self.paused_until, self.now + seconds)

    @rule(seconds=st.floats(0, 6), most=st.integers(0, 5))
    def pass_time(self, seconds: float, most: int) -> None:
        self.now += seconds
        due = self.plan.due(self.now, most)
        assert len(due) == len(set(due)) <= most
        assert not due or self.now >= self.paused_until
        for name in due:
            assert self.turns.pop(name) <= self.now
            self.under_way.add(name)
        overdue = [name for name, turn in self.turns.items() if turn + STEADY.max_delay <= self.now]
        assert not overdue or len(due) == most or self.now < self.paused_until

    @precondition(lambda self: self.turns)
    @rule()
    def wait_for_the_next_turn(self) -> None:
        self.now = max(self.now, self.plan.next_turn())
        assert self.now < math.inf
        self.pass_time(0.0, 1)
        assert self.under_way

    @invariant()
    def none_is_lost(self) -> None:
        if hasattr(self, "plan"):
            assert len(self.plan) == len(self.known)
            assert self.known == self.turns.keys() | self.under_way
            assert (self.plan.next_turn() < math.inf) == bool(self.turns)


TestPlanMachine = PlanMachine.TestCase
