"""
What is posted when, on simulated time.
"""

import json
import math
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import pytest
from hypothesis import given, strategies as st

from kling_async.emulator import Account, Fault, FaultPlan, Settings, TaskOutcome, faults
from kling_async.emulator.webhook_queue import Webhook, WebhookQueue
from kling_async.wire.dialects import GATEWAY, OFFICIAL
from kling_async.wire.endpoints.image_generation import ImageRequest
from kling_async.wire.tasks import TaskSnapshot, TaskStatus
from kling_async.wire.webhooks import Signature, make_token, read_callback, read_token, verify

NOON: Final = 1_780_000_000.0
SECRET: Final = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
KEY: Final = b"k" * 16
REQUEST: Final = ImageRequest("a lighthouse", callback_url=f"https://bots.example/kling/{make_token(KEY, 'submit-1')}")


@attrs.frozen
class Office:
    """
    A account whose tasks take 10 s, and its webhook_queue.
    """

    account: Account
    webhook_queue: WebhookQueue

    @classmethod
    def of(cls, *rules: Fault, **settings: Any) -> "Office":
        fixed: dict[str, Any] = {"latency": (10, 10), "dialect": OFFICIAL, "callback_secret": SECRET, **settings}
        account = Account(Settings(faults=rules, **fixed))
        return cls(account, WebhookQueue(account, FaultPlan(rules, 0)))

    def posts(self, *seconds: float, outcome: TaskOutcome | None = None) -> list[list[Webhook]]:
        """
        Make a task, and return what is posted at each of these moments.
        """
        self.account.create(REQUEST, NOON, outcome or TaskOutcome())
        return [list(self.webhook_queue.take(NOON + second)) for second in seconds]


def words(posts: list[list[Webhook]]) -> list[list[str]]:
    return [[post.word for post in some] for some in posts]


def said(post: Webhook) -> TaskSnapshot:
    return attrs.evolve(read_callback(post.body), request_id=None)


def judged(post: Webhook, now: float = NOON) -> Signature:
    return verify([SECRET], post.headers, post.body, now)


@pytest.mark.parametrize("dialect", [OFFICIAL, GATEWAY])
def test_each_change_is_told_once(dialect: Any) -> None:
    """
    A bare task of the moment goes out as it is accepted, as it is begun and as it ends.
    """
    office = Office.of(dialect=dialect)
    posts = office.posts(0, 1, 1.5, 9.9, 10, 99)
    bodies = [json.loads(post.body) for some in posts for post in some]

    assert [["submitted"], [], ["processing"], [], ["succeed"], []] == words(posts)
    assert ["submitted", "processing", "succeed"] == [body["task_status"] for body in bodies]
    assert [0, 1500, 10000] == [body["updated_at"] - int(NOON * 1000) for body in bodies]
    assert [0, 0, 1] == [len(body["task_result"].get("images", [])) for body in bodies]
    assert bodies[2]["final_unit_deduction"] == str(office.account.ledger.tasks[0].units)
    assert {REQUEST.callback_url} == {post.url for some in posts for post in some}
    assert math.inf == office.webhook_queue.next_at


def test_moments_that_were_missed_are_made_up_for() -> None:
    """
    Who looks late gets all at once, each with the words of its own moment.
    """
    assert [["submitted", "processing", "succeed"]] == words(Office.of().posts(60))


@given(st.lists(st.floats(0, 40), max_size=20), st.lists(st.floats(0, 30), min_size=1, max_size=5))
def test_it_does_not_matter_when_one_looks(looks: list[float], creates: list[float]) -> None:
    """
    Each change of each task is told exactly once, in order, not before its time, and `next_at` is when to look.
    """
    office = Office.of(slots=None)
    told: dict[str, list[str]] = {}
    for at, is_create in sorted([*((at, True) for at in creates), *((at, False) for at in looks), (99.0, False)]):
        if is_create:
            told[office.account.create(REQUEST, NOON + at).task_id] = []
            continue
        is_time = office.webhook_queue.next_at <= NOON + at
        posts = list(office.webhook_queue.take(NOON + at))
        for post in posts:
            assert (said(post).updated_at or said(post).created_at).timestamp() <= NOON + at  # type: ignore[union-attr]
            told[post.task_id].append(post.word)
        assert is_time == bool(posts)

    assert all(["submitted", "processing", "succeed"] == heard for heard in told.values())


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (TaskOutcome(failure="no"), ["submitted", "processing", "failed"]),
        (TaskOutcome(is_stuck=True), ["submitted", "processing"]),
        (TaskOutcome(word="painting"), ["submitted", "painting", "succeed"]),
        (TaskOutcome(files_after=5), ["submitted", "processing", "succeed"]),
    ],
)
def test_fates_are_told(outcome: TaskOutcome, told: list[str]) -> None:
    """
    What befalls a task is told in its words; pictures that come later are no change.
    """
    posts = [post for some in Office.of().posts(0, 10**6, outcome=outcome) for post in some]

    assert told == [post.word for post in posts]
    if outcome.failure is not None:
        assert "no" == said(posts[-1]).task_status_msg


def test_task_that_takes_no_time_changes_once() -> None:
    """
    A status that lasts for no time is not told.
    """
    assert [["succeed"]] == words(Office.of(latency=(0, 0)).posts(0))


def test_task_without_an_address_costs_nothing() -> None:
    """
    Without a `callback_url` there is nothing to look for.
    """
    office = Office.of()
    office.account.create(ImageRequest("x"), NOON)

    assert math.inf == office.webhook_queue.next_at
    assert [] == list(office.webhook_queue.take(NOON + 99))


# Signatures


def test_signed_at_the_time_of_sending() -> None:
    """
    With a secret each post is signed under an id of its own, at the time that it is sent at.
    """
    posts = [post for some in Office.of().posts(0, 2000) for post in some]

    assert [Signature.SIGNED] * 3 == [judged(posts[0], NOON), *(judged(post, NOON + 2000) for post in posts[1:])]
    assert 3 == len({post.headers["webhook-id"] for post in posts})


def test_unsigned_without_a_secret() -> None:
    """
    Without a secret there are no signature headers at all.
    """
    [[post]] = Office.of(callback_secret=None).posts(0)

    assert {"Content-Type": "application/json; charset=utf-8"} == post.headers


# Faults


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (faults.callback_lost(), [[], [], []]),
        (faults.callback_lost(after=2), [["submitted"], ["processing"], []]),
        (faults.callback_lost(prompt="storm"), [["submitted"], ["processing"], ["succeed"]]),
        (faults.callback_doubled(times=1), [["submitted", "submitted"], ["processing"], ["succeed"]]),
        (faults.callback_reordered(), [[], [], ["succeed", "processing", "submitted"]]),
        (faults.callback_reordered(after=1, times=1), [["submitted"], [], ["succeed", "processing"]]),
        (faults.callback_reordered(after=2), [["submitted"], ["processing"], ["succeed"]]),
        (faults.callback_delayed(5), [[], ["submitted"], ["processing"]]),
        (faults.callback_forged(after=1, times=1), [["submitted"], ["forged", "forged", "processing"], ["succeed"]]),
        (faults.callback_unsigned(), [["submitted"], ["processing"], ["succeed"]]),
    ],
)
def test_faults_of_sending(rule: Fault, told: list[list[str]]) -> None:
    """
    Callbacks are lost, doubled, late, out of order, and joined by those of others, as ordered.
    """
    assert told == words(Office.of(rule).posts(0, 5, 10))


def test_late_callback_is_told_at_last() -> None:
    """
    The webhook_queue knows when the last delayed callback is due.
    """
    office = Office.of(faults.callback_delayed(5))
    office.posts(0, 10)

    assert NOON + 15 == office.webhook_queue.next_at
    assert ["succeed"] == [post.word for post in office.webhook_queue.take(NOON + 15)]


def test_doubled_callback_is_the_same_twice() -> None:
    """
    Nothing tells the second from the first.
    """
    [[first, second]] = Office.of(faults.callback_doubled()).posts(0)

    assert first == second


def test_forger_lies_without_the_secret() -> None:
    """
    A forger says "failed", once at the right address and once at one that no key has made, and signs with another
    secret.
    """
    [[lie, astray, truth]] = Office.of(faults.callback_forged()).posts(0)

    assert [Signature.WRONG, Signature.WRONG, Signature.SIGNED] == [judged(post) for post in (lie, astray, truth)]
    assert [TaskStatus.FAILED] * 2 == [said(lie).task_status, said(astray).task_status]
    assert lie.url == truth.url == REQUEST.callback_url
    assert read_token(KEY, urlsplit(truth.url).path.rpartition("/")[2]) == "submit-1"
    assert read_token(KEY, urlsplit(astray.url).path.rpartition("/")[2]) is None


@pytest.mark.parametrize(
    ("url", "astray"),
    [
        ("http://x.example", "http://x.example/A"),
        ("http://x.example/", "http://x.example/A"),
        ("http://x.example/a?b=c", "http://x.example/A?b=c"),
        ("http://x.example/hook/tokeA", "http://x.example/hook/tokeB"),
    ],
)
def test_wrong_address_beside_any(url: str, astray: str) -> None:
    """
    A forger's second address is near the true one, and never the same.
    """
    office = Office.of(faults.callback_forged())
    office.account.create(attrs.evolve(REQUEST, callback_url=url), NOON)

    assert [url, astray, url] == [post.url for post in office.webhook_queue.take(NOON)]


def test_unsigned_despite_the_secret() -> None:
    """
    A callback that the service forgot to sign has no signature headers.
    """
    [[post]] = Office.of(faults.callback_unsigned()).posts(0)

    assert Signature.UNSIGNED is judged(post)


def test_other_id() -> None:
    """
    The callback names an id that nobody knows, the same one each time, and still belongs to the task.
    """
    office = Office.of(faults.callback_other_id())
    posts = [post for some in office.posts(10) for post in some]

    assert 1 == len({said(post).task_id for post in posts})
    assert office.account.find(said(posts[0]).task_id) is None
    assert office.account.find(posts[0].task_id) is not None


@pytest.mark.parametrize("rule", [faults.callback_enveloped(), faults.callback_new_standard()])
def test_other_shapes_say_the_same(rule: Fault) -> None:
    """
    Enveloped, or in the words of the new standard, the callback reads as the bare one does.
    """
    shaped, bare = ([post for some in office.posts(10) for post in some] for office in (Office.of(rule), Office.of()))

    assert ["submitted", "processing", "succeed"] == [post.word for post in shaped]
    assert [_core(said(post)) for post in bare] == [_core(said(post)) for post in shaped]
    assert all(("data" in json.loads(post.body)) == (rule.kind == "callback_enveloped") for post in shaped)
    assert all(("outputs" in json.loads(post.body)) == (rule.kind == "callback_new_standard") for post in shaped)


def _core(snapshot: TaskSnapshot) -> tuple[object, ...]:
    urls = [image.url for image in snapshot.task_result.images]
    return snapshot.task_id, snapshot.task_status, urls, snapshot.updated_at
