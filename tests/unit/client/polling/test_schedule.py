"""
The plan of looks: pure, so that its time is a number in the test's hand.
"""

import math

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kling_async.client.polling.schedule import PollPlan
from kling_async.policy.policies import PollPolicy

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
    for _ in range(5):
        turns.append(plan.next_turn())
        assert ["a"] == plan.due(turns[-1])
        plan.looked("a", turns[-1])

    assert [2.0, 4.0, 6.0, 9.0, 13.0] == turns


def test_task_of_unknown_age_is_looked_at_at_once(plan: PollPlan) -> None:
    """
    A task that was picked up has its turn now, and the usual delays from then on.
    """
    plan.add("a", now=7.0, schedule_now=True)
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
    for _ in range(14):
        assert ["a"] == plan.due(now)
        plan.missed("a", now)
        pauses.append(plan.next_turn() - now)
        now = plan.next_turn()

    assert pytest.approx([STEADY.after_misses(misses) for misses in range(1, 15)]) == pauses
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


def test_first_look_comes_when_such_tasks_used_to_end() -> None:
    """
    At 70 % of the time that they typically took, or when the quickest of them ended; then densely.
    """
    plan = learned(20.0, 22.0, 18.0)
    plan.add("a", now=100.0, kind="k")

    assert plan.next_turn() == 114.0
    plan.due(now=114.0)
    plan.looked("a", now=114.0)
    assert plan.next_turn() == pytest.approx(114.72)

    plan = learned(20.0, 22.0, 5.0)
    plan.add("a", now=100.0, kind="k")
    assert plan.next_turn() == 105.0


def test_looks_grow_apart_with_age() -> None:
    """
    A task that takes much longer than others of its kind is looked at less and less, down to once per longest delay.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="k")
    pauses = []
    for age in (30.0, 60.0, 120.0, 1000.0):
        plan.due(age)
        plan.looked("a", age)
        pauses.append(plan.next_turn() - age)

    assert [1.08, 2.16, 4.32, 10.0] == pytest.approx(pauses)


def test_other_kinds_teach_nothing() -> None:
    """
    Three pictures take another time than one; and a task without a kind teaches nobody.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="other")
    plan.add("b", now=0.5)
    plan.learn("b", 0.1, now=0.6)

    assert plan.next_turn() == 1.0


def test_crowd_takes_turns() -> None:
    """
    While nobody knows how long they take, five of the tasks are looked at in a turn, the longest unseen first.
    """
    plan = PollPlan(PollPolicy())
    for number in range(20):
        plan.add(f"{number}", now=0.0, kind="k")
    for turn in range(1, 9):
        assert turn == plan.next_turn()
        due = plan.due(float(turn))
        for name in due:
            plan.looked(name, float(turn))

        first = 5 * (turn - 1) % 20
        assert [f"{number}" for number in range(first, first + 5)] == due


def test_crowd_that_fits_in_a_request_is_looked_at_whole() -> None:
    """
    There is nothing to be saved by leaving some out.
    """
    plan = PollPlan(PollPolicy(), per_request=20)
    for number in range(20):
        plan.add(f"{number}", now=0.0, kind="k")

    assert 20 == len(plan.due(now=1.0))


def test_large_crowd_is_seen_in_time() -> None:
    """
    Its turns come more often, so that each task is looked at once in the longest delay.
    """
    plan = PollPlan(PollPolicy())
    for number in range(200):
        plan.add(f"{number}", now=0.0, kind="k")
    now = 0.0
    seen: set[str] = set()
    while len(seen) < 200:
        now = plan.next_turn()
        for name in plan.due(now):
            plan.looked(name, now)
            seen.add(name)

    assert now <= 1.0 + PollPolicy().max_delay


def test_crowd_without_a_place_comes_back() -> None:
    """
    Where there are fewer places than that, the others of the crowd are first in the next turn.
    """
    plan = PollPlan(PollPolicy())
    for number in range(9):
        plan.add(f"{number}", now=0.0, kind="k")

    assert ["0", "1"] == plan.due(now=1.0, most=2)
    assert ["2", "3", "4", "5", "6"] == plan.due(now=2.0)


def test_crowd_disperses_when_the_first_has_ended() -> None:
    """
    Each task has its own time from then on; those whose time has come are due at once.
    """
    plan = PollPlan(PollPolicy())
    for number in range(20):
        plan.add(f"{number}", now=number / 2, kind="k")
    plan.due(now=10.0)
    plan.learn("0", 8.0, now=10.0)

    assert {f"{number}" for number in range(5, 9)} <= set(plan.due(now=10.0))
    assert 10.0 < plan.next_turn() <= 15.1


def test_those_due_soon_come_along() -> None:
    """
    Where tasks share a request, their turns fall together; where each has its own, none comes early.
    """
    for per_request, expected in ((20, ["a", "b"]), (1, ["a"])):
        plan = learned(20.0)
        plan.per_request = per_request
        plan.add("a", now=0.0, kind="k")
        plan.add("b", now=0.3, kind="k")
        plan.add("c", now=5.0, kind="k")

        assert expected == plan.due(now=14.0)


def test_glimpse_puts_the_next_look_off() -> None:
    """
    A task that was seen beside others needs no look of its own for a while; one seen long before its time keeps it.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="k")
    plan.mark_seen("a", now=13.9)
    plan.mark_seen("stranger", now=13.9)
    assert plan.next_turn() == pytest.approx(14.62)

    plan.add("a", now=100.0, kind="k")
    plan.mark_seen("a", now=105.0)
    assert plan.next_turn() == 114.0


def test_turns_that_are_put_off_do_not_pile_up() -> None:
    """
    A page tells of a waiting task again and again, and each time its turn comes later; the first is still the one.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="k")
    plan.add("b", now=0.0, kind="k")
    turns = len(plan._turns)
    for step in range(100):
        plan.mark_seen("a", now=13.9 + step / 1000)

    assert turns == len(plan._turns)
    assert ["b"] == plan.due(now=14.0)
    assert plan.next_turn() == pytest.approx(14.72, abs=0.01)


def test_glimpse_of_one_in_a_crowd() -> None:
    """
    It goes to the end of the crowd.
    """
    plan = PollPlan(PollPolicy())
    for number in range(6):
        plan.add(f"{number}", now=0.0, kind="k")
    plan.mark_seen("0", now=0.5)

    assert ["1", "2", "3", "4", "5"] == plan.due(now=1.0)


def test_many_tasks_are_not_asked_for_too_often() -> None:
    """
    However many are due, requests keep to their rate; the longest due comes first.
    """
    plan = learned(20.0)
    for number in range(100):
        plan.add(f"{number}", now=0.0, kind="k")
    now = 14.0
    seen: list[str] = []
    while len(seen) < 100:
        now = max(now, plan.next_turn())
        for name in plan.due(now, most=8):
            plan.asked(now)
            seen.append(name)

    assert [f"{number}" for number in range(100)] == seen
    assert now == pytest.approx(14.0 + 96 / 40)


def test_task_that_is_told_of_is_left_alone() -> None:
    """
    Where callbacks tell, the first look comes when one is overdue, and normal looks follow.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="k", is_told_of=True)
    assert plan.next_turn() == 30.0

    plan.heard("a", now=5.0)
    plan.heard("stranger", now=5.0)
    assert plan.next_turn() == 35.0

    assert ["a"] == plan.due(now=35.0)
    plan.looked("a", now=35.0)
    assert plan.next_turn() == pytest.approx(36.26)


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_news_end_the_looking(*, is_looked_at: bool) -> None:
    """
    A task of a crowd that is told of leaves it, also when it is being looked at in that moment.
    """
    plan = PollPlan(PollPolicy())
    plan.add("a", now=0.0, kind="k")
    if is_looked_at:
        plan.due(now=1.0)
    plan.heard("a", now=1.0)
    plan.looked("a", now=1.1)

    assert plan.next_turn() == 31.0


def test_look_at_an_overdue_task_is_not_repeated_at_once() -> None:
    """
    Of a kind whose pace is not known, it joins the crowd of its kind for the next turn of that.
    """
    plan = PollPlan(PollPolicy())
    plan.add("a", now=0.0, kind="k", is_told_of=True)
    assert ["a"] == plan.due(now=30.0)

    plan.looked("a", now=30.1)
    assert plan.next_turn() == pytest.approx(30.0 + 0.05 * 30.1)


@pytest.mark.parametrize(("seconds", "overdue_at"), [(4.0, 8.0), (40.0, 62.0), (0.0, 3.0)])
def test_rest_ends_by_what_is_learned_meanwhile(seconds: float, overdue_at: float) -> None:
    """
    When the first task of a kind has ended, it is known when callbacks of the others are overdue.
    """
    plan = PollPlan(PollPolicy())
    plan.add("a", now=0.0, kind="k", is_told_of=True)
    plan.add("stranger", now=0.0, kind="l", is_told_of=True)
    plan.add("b", now=1.0, kind="k", is_told_of=True)
    plan.add("c", now=2.0, kind="k", is_told_of=True)
    plan.heard("a", now=2.0)
    plan.learn("b", seconds, now=3.0)
    plan.drop("b")

    turns = {plan.next_turn(): plan.due(plan.next_turn()) for _ in range(2)}
    assert {overdue_at: ["a", "c"], 30.0: ["stranger"]} == turns


def test_what_is_learned_during_a_look_books_no_other() -> None:
    """
    An overdue task that is being looked at gets its next turn after that look.
    """
    plan = PollPlan(PollPolicy())
    plan.add("a", now=0.0, kind="k", is_told_of=True)
    plan.add("b", now=29.5, kind="k")
    assert ["a"] == plan.due(now=30.0, most=1)

    plan.learn("b", 10.0, now=30.0)
    plan.drop("b")
    assert math.inf == plan.next_turn()


@pytest.mark.parametrize("kind", ["k", "a crowd"])
def test_hint_that_comes_during_a_look_is_not_lost(kind: str) -> None:
    """
    The look may have been too early to see what the hint is about, so another follows at once, and one only.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind=kind)
    plan.due(now=14.0)
    plan.expedite("a", now=14.1)
    plan.looked("a", now=14.2)
    assert ["a"] == plan.due(now=14.2)

    plan.looked("a", now=14.3)
    assert plan.next_turn() >= 14.3 + 0.7


def test_hint_breaks_the_rest() -> None:
    """
    A task that was left to its callbacks is looked at now, and as usual afterwards.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="k", is_told_of=True)
    plan.expedite("a", now=5.0)
    plan.expedite("stranger", now=5.0)
    assert ["a"] == plan.due(now=5.0)

    plan.looked("a", now=5.0)
    assert plan.next_turn() == pytest.approx(5.0 + PollPolicy().dense * 20.0)


def test_refusals_slow_everything_down() -> None:
    """
    A rest, then longer pauses; refusals of looks that were under way together count once.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="k")
    plan.due(now=14.0)
    for _ in range(8):
        plan.slow_down(now=14.0)
    plan.schedule_now("a", now=14.0)
    assert plan.next_turn() == 14.25

    plan.due(now=14.25)
    plan.looked("a", now=14.25)
    assert plan.next_turn() == pytest.approx(14.25 + 1.25 * 0.72, abs=0.01)


PATIENT = PollPolicy(max_delay=1000.0)


def test_many_refusals_slow_it_down_much() -> None:
    """
    Where most looks are refused, looking becomes eight times as slow and no slower; time alone wears that off.
    """
    plan = learned(20.0, policy=PATIENT)
    plan.add("a", now=0.0, kind="k")
    now = 14.0
    for _ in range(30):
        plan.slow_down(now)
        now = max(now, plan.next_turn()) + 0.1
    now += 5.0
    plan.due(now)
    plan.looked("a", now)
    assert 6.0 < (plan.next_turn() - now) / (PATIENT.dense * now) <= 8.0

    plan.due(now=1000.0)
    plan.looked("a", now=1000.0)
    assert plan.next_turn() == 1036.0


def test_refusals_now_and_then_cost_little() -> None:
    """
    A refusal for twenty answers is forgotten by the next.
    """
    plan = learned(20.0, policy=PATIENT)
    plan.add("a", now=0.0, kind="k")
    now = 14.0
    for _ in range(10):
        plan.slow_down(now)
        for _ in range(20):
            now = plan.next_turn()
            plan.due(now)
            plan.answered()
            plan.looked("a", now)

    assert plan.next_turn() - now < 1.1 * PATIENT.dense * now


def test_no_refusal_makes_a_look_later_than_the_longest_delay() -> None:
    """
    The pauses after refusals keep the service from being asked too often; a task is still looked at in time.
    """
    plan = learned(20.0)
    plan.add("a", now=0.0, kind="k")
    for _ in range(30):
        plan.slow_down(now=plan.next_turn())
    plan.due(now=60.0)
    plan.looked("a", now=60.0)

    assert plan.next_turn() == 70.0


def learned(*seconds: float, policy: PollPolicy = PollPolicy()) -> PollPlan:  # noqa: B008 (frozen)
    """
    A plan that has seen tasks of kind "k" end, each after so many seconds.
    """
    plan = PollPlan(policy)
    for taken in seconds:
        plan.add("one that ended", now=-100.0, kind="k")
        plan.learn("one that ended", taken, now=-50.0)
        plan.drop("one that ended")
    return plan


@given(
    ages=st.lists(st.floats(0, 50), min_size=1, max_size=20),
    policy=st.builds(
        PollPolicy,
        first_delay=st.floats(0.1, 5),
        growth=st.floats(1, 3),
        max_delay=st.floats(0.1, 10),
    ),
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

    @rule(name=names, schedule_now=st.booleans(), kind=st.sampled_from([None, "k", "l"]))
    def add(self, name: str, kind: str | None, *, schedule_now: bool) -> None:
        self.plan.add(name, self.now, kind=kind, schedule_now=schedule_now)
        self.known.add(name)
        self.under_way.discard(name)
        self.turns[name] = self.now

    @rule(name=names, seconds=st.floats(0, 20))
    def learn(self, name: str, seconds: float) -> None:
        self.plan.learn(name, seconds, self.now)

    @rule(name=names)
    def glimpse(self, name: str) -> None:
        self.plan.mark_seen(name, self.now)

    @rule(name=names)
    def hear(self, name: str) -> None:
        self.plan.heard(name, self.now)
        if name in self.turns:
            self.turns[name] = self.now

    @rule(name=names)
    def expedite(self, name: str) -> None:
        self.plan.expedite(name, self.now)
        if name in self.turns:
            self.turns[name] = self.now

    @rule()
    def slow_down(self) -> None:
        self.plan.slow_down(self.now)

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
        assert len(due) == most or self.plan.next_turn() > self.now

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
