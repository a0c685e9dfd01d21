"""
The schedule of polls; it is pure, so each test sets the time.
"""

import math

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kling_async.client.polling.health import ServiceHealth
from kling_async.client.polling.schedule import PollSchedule
from kling_async.policy.policies import PollPolicy

STEADY = PollPolicy(first_delay=2.0, growth=1.5, max_delay=4.0, miss_delay=0.5)


def schedule_of(policy: PollPolicy, per_request: int = 1, per_sample: int = 1) -> PollSchedule:
    return PollSchedule(policy, ServiceHealth(policy), per_request, per_sample)


@pytest.fixture
def schedule() -> PollSchedule:
    return schedule_of(STEADY)


def test_nothing_is_planned_at_first(schedule: PollSchedule) -> None:
    """
    An empty plan has no turn.
    """
    assert math.inf == schedule.next_poll_at()
    assert [] == schedule.due(now=1e9)
    assert len(schedule) == 0


def test_delays_grow_from_poll_to_poll(schedule: PollSchedule) -> None:
    """
    The first poll comes after the first delay, each further one later, up to the longest delay.
    """
    schedule.add("a", now=0.0)
    turns = []
    for _ in range(5):
        turns.append(schedule.next_poll_at())
        assert ["a"] == schedule.due(turns[-1])
        schedule.note_polled("a", turns[-1])

    assert [2.0, 4.0, 6.0, 9.0, 13.0] == turns


def test_task_of_unknown_age_is_due_at_once(schedule: PollSchedule) -> None:
    """
    A task that was picked up has its turn now, and the usual delays from then on.
    """
    schedule.add("a", now=7.0, is_due=True)
    assert ["a"] == schedule.due(now=7.0)

    schedule.note_polled("a", now=7.5)

    assert schedule.next_poll_at() == 9.5


def test_task_being_polled_is_not_due(schedule: PollSchedule) -> None:
    """
    A poll that takes long is not followed by another before it ends.
    """
    schedule.add("a", now=0.0)
    schedule.due(now=2.0)

    assert [] == schedule.due(now=100.0)
    assert math.inf == schedule.next_poll_at()


def test_failed_poll_is_repeated_soon(schedule: PollSchedule) -> None:
    """
    After a poll that failed the next comes soon, after each further one later; an answer ends the row.
    """
    schedule.add("a", now=0.0)
    now, pauses = 2.0, []
    for _ in range(14):
        assert ["a"] == schedule.due(now)
        schedule.note_failed("a", now)
        pauses.append(schedule.next_poll_at() - now)
        now = schedule.next_poll_at()

    assert pytest.approx([STEADY.after_misses(misses) for misses in range(1, 15)]) == pauses
    assert pytest.approx([0.5, 4.0]) == [pauses[0], pauses[-1]]

    schedule.due(now)
    schedule.note_polled("a", now)
    now = schedule.next_poll_at()
    schedule.due(now)
    schedule.note_failed("a", now)

    assert schedule.next_poll_at() == now + 0.5


def test_poll_is_scheduled_once(schedule: PollSchedule) -> None:
    """
    What is booked stays as it is, whatever a late look reports.
    """
    schedule.add("a", now=0.0)
    schedule.note_polled("a", now=1.0)
    schedule.note_failed("a", now=1.0)

    assert schedule.next_poll_at() == 2.0
    assert ["a"] == schedule.due(now=50.0)
    assert math.inf == schedule.next_poll_at()


def test_removed_task_is_not_due(schedule: PollSchedule) -> None:
    """
    Removing cancels the next poll, also of a task being polled; removing an unknown task is no error.
    """
    schedule.add("a", now=0.0)
    schedule.add("b", now=0.0)
    schedule.remove("a")
    schedule.remove("stranger")
    assert ["b"] == schedule.due(now=2.0)
    schedule.remove("b")
    schedule.note_polled("b", now=2.1)
    schedule.note_failed("b", now=2.1)

    assert math.inf == schedule.next_poll_at()
    assert len(schedule) == 0


def test_added_again_it_starts_afresh(schedule: PollSchedule) -> None:
    """
    The turns from before the dropping count no more.
    """
    schedule.add("a", now=0.0)
    schedule.remove("a")
    schedule.add("a", now=1.5)

    assert schedule.next_poll_at() == 3.5
    assert [] == schedule.due(now=2.0)
    assert ["a"] == schedule.due(now=3.5)


def test_ties_keep_their_order(schedule: PollSchedule) -> None:
    """
    Tasks of the same moment have their turns in the order in which they were added.
    """
    names = [f"task-{number}" for number in (3, 1, 2, 0)]
    for name in names:
        schedule.add(name, now=0.0)

    assert names == schedule.due(now=2.0)


def test_no_more_than_asked_for(schedule: PollSchedule) -> None:
    """
    Those that find no place keep their turn, the longest due first.
    """
    for age, name in enumerate("abc"):
        schedule.add(name, now=age / 10)

    assert ["a", "b"] == schedule.due(now=9.0, limit=2)
    assert [] == schedule.due(now=9.0, limit=0)
    assert schedule.next_poll_at() < 9.0
    assert ["c"] == schedule.due(now=9.0, limit=2)


def test_pause_holds_for_all(schedule: PollSchedule) -> None:
    """
    Nothing is due while the service rests, and a shorter pause does not end a longer one.
    """
    schedule.add("a", now=0.0)
    schedule.add("b", now=10.0)
    schedule.health.rate.pause(until=8.0)
    schedule.health.rate.pause(until=3.0)

    assert schedule.next_poll_at() == 8.0
    assert [] == schedule.due(now=7.9)
    assert ["a"] == schedule.due(now=8.0)
    assert schedule.next_poll_at() == 12.0


def test_first_poll_comes_when_similar_tasks_ended() -> None:
    """
    At 70 % of the time that they typically took, or when the quickest of them ended; then densely, and half as densely
    until the quickest of them ended.
    """
    schedule = learned(20.0, 22.0, 18.0)
    schedule.add("a", now=100.0, kind="k")

    assert schedule.next_poll_at() == 114.0
    for now, pause in ((114.0, 0.8), (118.0, 0.4)):
        schedule.due(now)
        schedule.note_polled("a", now)
        assert schedule.next_poll_at() == pytest.approx(now + pause)

    schedule = learned(20.0, 22.0, 5.0)
    schedule.add("a", now=100.0, kind="k")
    assert schedule.next_poll_at() == 105.0


@pytest.mark.parametrize(
    ("count", "per_request", "pause"), [(1, 1, 0.4), (2, 20, 0.28), (9, 1, 0.64), (20, 20, 0.28), (100, 20, 0.8)]
)
def test_few_tasks_and_those_of_one_request_are_polled_densely(count: int, per_request: int, pause: float) -> None:
    """
    What costs few requests is asked for more often.
    """
    assert pause == pytest.approx(pause_among(count, per_request, taken=20.0))


def pause_among(count: int, per_request: int, taken: float) -> float:
    """
    Return how long a task that was just polled, as one of so many, is left alone.
    """
    schedule = learned(taken)
    schedule.per_request = per_request
    schedule.add("a", now=0.0, kind="k")
    for number in range(1, count):
        schedule.add(f"{number}", now=1000.0, kind="k")
    schedule.due(now=taken)
    schedule.note_polled("a", now=taken)
    return schedule.next_poll_at() - taken


def test_crowd_of_short_tasks_is_polled_less_often() -> None:
    """
    The delay grows slowly with the number of requests that it takes to poll all.
    """
    pauses = [pause_among(count, 1, taken=3.0) for count in (1, 10, 100, 1000)]

    assert [0.1, 0.271, 0.654, 1.075] == pytest.approx(pauses, abs=1e-3)
    assert pauses[2] == pytest.approx(pause_among(2_000, 20, taken=3.0))
    assert pause_among(80, 20, taken=3.0) == pytest.approx(0.2)


@pytest.mark.parametrize(("count", "per_request", "pause"), [(8_000, 1, 8.0), (20_000, 500, 2.0), (20_000, 20, 2.0)])
def test_very_large_crowd_is_polled_at_a_limited_rate(count: int, per_request: int, pause: float) -> None:
    """
    However much the service takes: a thousand requests per second, and ten thousand tasks.
    """
    assert pause == pytest.approx(pause_among(count, per_request, taken=3.0))


def test_samples_of_a_crowd_grow_with_its_age() -> None:
    """
    Its first end is looked for by ids; later, when each task has its turn within the longest delay, by pages.
    """
    schedule = PollSchedule(PollPolicy(), ServiceHealth(PollPolicy()), 500, 20)
    for number in range(3000):
        schedule.add(f"{number}", now=0.0, kind="k")
    young = schedule.due(schedule.next_poll_at())
    for task_id in young:
        schedule.note_polled(task_id, 1.0)

    assert 20 == len(young)
    assert 500 == len(schedule.due(600.0))


def test_time_of_a_poll_is_a_part_of_the_delay() -> None:
    """
    The next one comes a delay after the last began, unless that took most of it: a slow service gets a rest.
    """
    for took, pause in ((0.1, 0.3), (0.3, 0.2), (5.0, 0.2)):
        schedule = learned(20.0)
        schedule.add("a", now=0.0, kind="k")
        schedule.due(now=18.0)
        schedule.note_polled("a", now=20.0, took=took)
        assert schedule.next_poll_at() == pytest.approx(20.0 + pause)


def test_polls_grow_apart_with_age() -> None:
    """
    A task that takes much longer than others of its kind is polled less and less, down to once per longest delay.
    """
    schedule = learned(20.0)
    schedule.add("a", now=0.0, kind="k")
    pauses = []
    for age in (30.0, 60.0, 120.0, 1000.0):
        schedule.due(age)
        schedule.note_polled("a", age)
        pauses.append(schedule.next_poll_at() - age)

    assert [0.6, 1.2, 2.4, 10.0] == pytest.approx(pauses)


def test_other_kinds_teach_nothing() -> None:
    """
    Three pictures take another time than one; and a task without a kind teaches nobody.
    """
    schedule = learned(20.0)
    schedule.add("a", now=0.0, kind="other")
    schedule.add("b", now=0.5)
    schedule.add_duration("b", 0.1, now=0.6)

    assert schedule.next_poll_at() == 1.0


def test_sample_group_is_polled_in_rotation() -> None:
    """
    While their duration is unknown, five of the tasks are polled at a time, those unseen longest first.
    """
    schedule = schedule_of(PollPolicy())
    for number in range(7):
        schedule.add(f"{number}", now=0.0, kind="k")
    for turn in range(1, 9):
        assert turn == schedule.next_poll_at()
        due = schedule.due(float(turn))
        for name in due:
            schedule.note_polled(name, float(turn))

        first = 5 * (turn - 1)
        assert [f"{number % 7}" for number in range(first, first + 5)] == due


@pytest.mark.parametrize(("count", "size"), [(500, 500), (501, 20)])
def test_sample_group_that_fits_in_a_request_is_polled_whole(count: int, size: int) -> None:
    """
    There is nothing to be saved by leaving some out. Of a group that needs several pages, as many are polled as can be
    queried by their ids.
    """
    schedule = schedule_of(PollPolicy(), per_request=500, per_sample=20)
    for number in range(count):
        schedule.add(f"{number}", now=0.0, kind="k")

    assert size == len(schedule.due(now=1.0))


def polls_of_samples(count: int, until: float, per_request: int = 1, per_sample: int = 1) -> list[tuple[float, str]]:
    """
    Return when each task of a sample group of so many was polled.
    """
    schedule = schedule_of(PollPolicy(), per_request, per_sample)
    for number in range(count):
        schedule.add(f"{number}", now=0.0, kind="k")
    polls = []
    while (now := schedule.next_poll_at()) < until:
        for name in schedule.due(now):
            schedule.note_polled(name, now)
            polls.append((now, name))
    return polls


@pytest.mark.parametrize(("per_request", "per_sample", "delays"), [(1, 1, 2), (20, 20, 1), (300, 20, 1), (300, 1, 1)])
def test_large_sample_group_is_polled_in_time(per_request: int, per_sample: int, delays: int) -> None:
    """
    However many they are, each task is polled once per longest delay; the young ones per two, if each has its request.
    """
    last: dict[str, float] = {}
    for now, name in polls_of_samples(500, 60.0, per_request, per_sample):
        assert now - last.get(name, 1.0) <= 1.05 * PollPolicy().max_delay * (delays if now < 31.0 else 1)
        last[name] = now

    assert len(last) == 500


def test_more_of_a_large_sample_group_are_polled() -> None:
    """
    The more tasks wait for the first end to be found, the more of them are polled, but not in proportion.
    """
    few, many, very_many = (len(polls_of_samples(count, 5.0)) for count in (9, 100, 1000))

    assert 20 <= few < many / 2
    assert 2 * many < very_many < 5 * many


def test_sample_that_does_not_fit_stays_due() -> None:
    """
    If the limit is lower, the other tasks of the group are the first of the next sample.
    """
    schedule = schedule_of(PollPolicy())
    for number in range(9):
        schedule.add(f"{number}", now=0.0, kind="k")

    assert ["0", "1"] == schedule.due(now=1.0, limit=2)
    assert ["2", "3", "4", "5", "6"] == schedule.due(now=2.0)


def test_sample_group_is_dissolved_when_the_first_task_ends() -> None:
    """
    Each task has its own time from then on; those whose time has come are due soon, since they are not the quickest.
    """
    schedule = schedule_of(PollPolicy())
    for number in range(20):
        schedule.add(f"{number}", now=number / 2, kind="k")
    schedule.due(now=10.0)
    schedule.add_duration("0", 8.0, now=10.0)

    assert [] == schedule.due(now=10.0)
    assert schedule.next_poll_at() == pytest.approx(10.0 + 0.25 * 0.4)
    assert {f"{number}" for number in range(5, 9)} <= set(schedule.due(now=10.2))
    assert 10.2 < schedule.next_poll_at() <= 15.1


def test_those_due_soon_come_along() -> None:
    """
    Where tasks share a request, their turns fall together; where each has its own, none comes early.
    """
    for per_request, expected in ((20, ["a", "b"]), (1, ["a"])):
        schedule = learned(20.0)
        schedule.per_request = per_request
        schedule.add("a", now=0.0, kind="k")
        schedule.add("b", now=0.1, kind="k")
        schedule.add("c", now=5.0, kind="k")

        assert expected == schedule.due(now=14.0)


def test_task_that_was_seen_is_polled_later() -> None:
    """
    Its next poll is postponed, unless that is later anyway.
    """
    schedule = learned(20.0)
    schedule.add("a", now=0.0, kind="k")
    schedule.mark_seen("a", now=13.9)
    schedule.mark_seen("stranger", now=13.9)
    assert schedule.next_poll_at() == pytest.approx(14.7)

    schedule.add("a", now=100.0, kind="k")
    schedule.mark_seen("a", now=105.0)
    assert schedule.next_poll_at() == 114.0


def test_postponed_polls_do_not_pile_up() -> None:
    """
    A page tells of a waiting task again and again, and each time its turn comes later; the first is still the one.
    """
    schedule = learned(20.0)
    schedule.add("a", now=0.0, kind="k")
    schedule.add("b", now=0.0, kind="k")
    turns = len(schedule._heap)
    for step in range(100):
        schedule.mark_seen("a", now=13.9 + step / 1000)

    assert turns == len(schedule._heap)
    assert ["b"] == schedule.due(now=14.0)
    assert schedule.next_poll_at() == pytest.approx(13.999 + 2 * 0.64)


def test_task_of_a_sample_group_that_was_seen() -> None:
    """
    It is polled last in the rotation.
    """
    schedule = schedule_of(PollPolicy())
    for number in range(6):
        schedule.add(f"{number}", now=0.0, kind="k")
    schedule.mark_seen("0", now=0.5)

    assert ["1", "2", "3", "4", "5"] == schedule.due(now=1.0)


def test_many_tasks_are_not_asked_for_too_often() -> None:
    """
    However many are due, requests keep to the rate; the longest due comes first.
    """
    schedule = learned(20.0)
    for number in range(100):
        schedule.add(f"{number}", now=0.0, kind="k")
    now = 14.0
    seen: list[str] = []
    while len(seen) < 100:
        now = max(now, schedule.next_poll_at())
        for name in schedule.due(now, limit=schedule.health.rate.allowance(now)):
            schedule.health.rate.note_sent(now)
            seen.append(name)

    assert [f"{number}" for number in range(100)] == seen
    assert now == pytest.approx(14.0 + 92 / 40, abs=0.03)


def test_task_with_callbacks_is_not_polled() -> None:
    """
    The first poll comes when a callback is overdue, and normal polls follow.
    """
    schedule = learned(20.0)
    schedule.add("a", now=0.0, kind="k", expects_callbacks=True)
    assert schedule.next_poll_at() == 30.0

    schedule.note_callback("a", now=5.0)
    schedule.note_callback("stranger", now=5.0)
    assert schedule.next_poll_at() == 35.0

    assert ["a"] == schedule.due(now=35.0)
    schedule.note_polled("a", now=35.0)
    assert schedule.next_poll_at() == pytest.approx(35.0 + 0.5 * 0.04 * 35.0)


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_callback_ends_the_polling(*, is_looked_at: bool) -> None:
    """
    A task of a sample group leaves it when a callback comes, also while it is being polled.
    """
    schedule = schedule_of(PollPolicy())
    schedule.add("a", now=0.0, kind="k")
    if is_looked_at:
        schedule.due(now=1.0)
    schedule.note_callback("a", now=1.0)
    schedule.note_polled("a", now=1.1)

    assert schedule.next_poll_at() == 31.0


def test_poll_of_an_overdue_task_is_not_repeated_at_once() -> None:
    """
    If the duration of its kind is unknown, it joins the sample group for the next sample.
    """
    schedule = schedule_of(PollPolicy())
    schedule.add("a", now=0.0, kind="k", expects_callbacks=True)
    assert ["a"] == schedule.due(now=30.0)

    schedule.note_polled("a", now=30.1)
    assert schedule.next_poll_at() == pytest.approx(30.0 + 0.05 * 30.1)


@pytest.mark.parametrize(("seconds", "overdue_at"), [(4.0, 8.0), (40.0, 62.0), (0.0, 3.0)])
def test_rest_ends_by_what_is_learned_meanwhile(seconds: float, overdue_at: float) -> None:
    """
    When the first task of a kind has ended, it is known when callbacks of the others are overdue.
    """
    schedule = schedule_of(PollPolicy())
    schedule.add("a", now=0.0, kind="k", expects_callbacks=True)
    schedule.add("stranger", now=0.0, kind="l", expects_callbacks=True)
    schedule.add("b", now=1.0, kind="k", expects_callbacks=True)
    schedule.add("c", now=2.0, kind="k", expects_callbacks=True)
    schedule.note_callback("a", now=2.0)
    schedule.add_duration("b", seconds, now=3.0)
    schedule.remove("b")

    turns = {schedule.next_poll_at(): schedule.due(schedule.next_poll_at()) for _ in range(2)}
    assert {overdue_at: ["a", "c"], 30.0: ["stranger"]} == turns


def test_duration_learned_during_a_poll_schedules_no_other() -> None:
    """
    The next poll of an overdue task comes after the poll that is running.
    """
    schedule = schedule_of(PollPolicy())
    schedule.add("a", now=0.0, kind="k", expects_callbacks=True)
    schedule.add("b", now=29.5, kind="k")
    assert ["a"] == schedule.due(now=30.0, limit=1)

    schedule.add_duration("b", 10.0, now=30.0)
    schedule.remove("b")
    assert math.inf == schedule.next_poll_at()


@pytest.mark.parametrize("kind", ["k", "a crowd"])
def test_expediting_during_a_poll_is_not_lost(kind: str) -> None:
    """
    The look may have been too early to see what the hint is about, so another follows at once, and one only.
    """
    schedule = learned(20.0)
    schedule.add("a", now=0.0, kind=kind)
    schedule.due(now=14.0)
    schedule.expedite("a", now=14.1)
    schedule.note_polled("a", now=14.2)
    assert ["a"] == schedule.due(now=14.2)

    schedule.note_polled("a", now=14.3)
    assert schedule.next_poll_at() >= 14.3 + 0.79


def test_hint_breaks_the_rest() -> None:
    """
    A task that waits for callbacks is polled now, and as usual afterwards.
    """
    schedule = learned(20.0)
    schedule.add("a", now=0.0, kind="k", expects_callbacks=True)
    schedule.expedite("a", now=5.0)
    schedule.expedite("stranger", now=5.0)
    assert ["a"] == schedule.due(now=5.0)

    schedule.note_polled("a", now=5.0)
    assert schedule.next_poll_at() == pytest.approx(5.0 + 2 * 0.5 * PollPolicy().dense * 20.0)


def learned(*seconds: float, policy: PollPolicy = PollPolicy()) -> PollSchedule:  # noqa: B008 (frozen)
    """
    A plan that has seen tasks of kind "k" end, each after so many seconds.
    """
    schedule = schedule_of(policy)
    for taken in seconds:
        schedule.add("one that ended", now=-100.0, kind="k")
        schedule.add_duration("one that ended", taken, now=-50.0)
        schedule.remove("one that ended")
    return schedule


@given(
    ages=st.lists(st.floats(0, 50), min_size=1, max_size=20),
    policy=st.builds(
        PollPolicy,
        first_delay=st.floats(0.1, 5),
        growth=st.floats(1, 3),
        max_delay=st.floats(0.1, 10),
    ),
    limit=st.integers(1, 5),
)
def test_everything_comes_in_time(ages: list[float], policy: PollPolicy, limit: int) -> None:
    """
    Followed to the letter, the plan leaves no task longer than its delay, and gives turns in order of time.
    """
    schedule = schedule_of(policy)
    longest = max(policy.first_delay, policy.max_delay)
    last = {f"{number}": age for number, age in enumerate(ages)}
    for name, age in sorted(last.items(), key=lambda item: item[1]):
        schedule.add(name, age)
    now = 0.0
    for _ in range(5 * len(ages)):
        assert now <= schedule.next_poll_at() + 1e-9
        now = max(now, schedule.next_poll_at())
        due = schedule.due(now, limit)
        assert due
        for name in due:
            assert now - last[name] <= longest + 1e-9
            last[name] = now
            schedule.note_polled(name, now)


class PlanMachine(RuleBasedStateMachine):
    """
    Compares the schedule with a dictionary of times: tasks are added, removed, polled, fail and pause in any order.
    """

    names = st.sampled_from("abcd")

    @initialize()
    def start(self) -> None:
        self.schedule = schedule_of(STEADY)
        self.now = 0.0
        self.turns: dict[str, float] = {}  # not before which moment
        self.under_way: set[str] = set()
        self.known: set[str] = set()
        self.paused_until = -math.inf

    @rule(name=names, is_due=st.booleans(), kind=st.sampled_from([None, "k", "l"]))
    def add(self, name: str, kind: str | None, *, is_due: bool) -> None:
        self.schedule.add(name, self.now, kind=kind, is_due=is_due)
        self.known.add(name)
        self.under_way.discard(name)
        self.turns[name] = self.now

    @rule(name=names, seconds=st.floats(0, 20))
    def add_duration(self, name: str, seconds: float) -> None:
        self.schedule.add_duration(name, seconds, self.now)

    @rule(name=names)
    def glimpse(self, name: str) -> None:
        self.schedule.mark_seen(name, self.now)

    @rule(name=names)
    def hear(self, name: str) -> None:
        self.schedule.note_callback(name, self.now)
        if name in self.turns:
            self.turns[name] = self.now

    @rule(name=names)
    def expedite(self, name: str) -> None:
        self.schedule.expedite(name, self.now)
        if name in self.turns:
            self.turns[name] = self.now

    @rule()
    def slow_down(self) -> None:
        self.schedule.health.rate.note_sent(self.now)
        self.schedule.health.rate.note_refused(self.now, self.now)

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.schedule.remove(name)
        self.turns.pop(name, None)
        self.known.discard(name)
        self.under_way.discard(name)

    @rule(name=names, is_broken=st.booleans())
    def end_look(self, name: str, *, is_broken: bool) -> None:
        (self.schedule.note_failed if is_broken else self.schedule.note_polled)(name, self.now)
        if name in self.under_way:
            self.under_way.discard(name)
            self.turns[name] = self.now

    @rule(seconds=st.floats(0, 6))
    def pause(self, seconds: float) -> None:
        self.schedule.health.rate.pause(self.now + seconds)
        self.paused_until = max(self.paused_until, self.now + seconds)

    @rule(seconds=st.floats(0, 6), limit=st.integers(0, 5))
    def pass_time(self, seconds: float, limit: int) -> None:
        self.now += seconds
        due = self.schedule.due(self.now, limit)
        assert len(due) == len(set(due)) <= limit
        assert not due or self.now >= self.paused_until
        for name in due:
            assert self.turns.pop(name) <= self.now
            self.under_way.add(name)
        assert len(due) == limit or self.schedule.next_poll_at() > self.now

    @precondition(lambda self: self.turns)
    @rule()
    def wait_for_the_next_turn(self) -> None:
        self.now = max(self.now, self.schedule.next_poll_at())
        assert self.now < math.inf
        self.pass_time(0.0, 1)
        assert self.under_way

    @invariant()
    def none_is_lost(self) -> None:
        if hasattr(self, "schedule"):
            assert len(self.schedule) == len(self.known)
            assert self.known == self.turns.keys() | self.under_way
            assert (self.schedule.next_poll_at() < math.inf) == bool(self.turns)


TestPlanMachine = PlanMachine.TestCase
