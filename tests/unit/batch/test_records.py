"""
The rows of a batch: what tells them apart, what may follow, and that what is written of them reads the same.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from kling_async import errors
from kling_async.batch.records import (
    State,
    Summary,
    digest_of,
    external_id_of,
    may_follow,
    may_try_again,
    read_error,
    read_stored_request,
    read_stored_snapshot,
    write_error,
    write_identity,
    write_stored_request,
    write_stored_snapshot,
)
from kling_async.errors import KlingError, SubmissionUncertain, TaskFailed, UnexpectedAnswer
from kling_async.wire.codec import read_task
from kling_async.wire.endpoints.image_generation import IMAGE_GENERATION, AspectRatio, ImageRequest
from kling_async.wire.tasks import BalanceDeduction, TaskSnapshot, TaskStatus
from tests.fakes.html_reader import Reader

REQUEST = ImageRequest("a lighthouse at dusk")

CLASSES = [
    kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), KlingError)
]  # BrokenRule is none of them

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
few = st.none() | texts
shares = st.none() | st.floats(0, 1) | st.sampled_from([0, 1])

requests = st.builds(
    ImageRequest,
    prompt=texts,
    negative_prompt=few,
    image=st.none() | st.sampled_from(["https://pictures.example.com/a.png?sig=1"]),
    image_fidelity=shares,
    n=st.integers(1, 9),
    aspect_ratio=st.none() | st.sampled_from([*AspectRatio, "1:1"]),
    callback_url=few,
    model_name=few,
    image_reference=few,
    human_fidelity=shares,
    resolution=few,
    external_task_id=few,
)

snapshots = st.fixed_dictionaries(
    {
        "task_id": texts.filter(str.strip) | st.integers(1, 10**18),
        "task_status": st.sampled_from(["submitted", "processing", "succeed", "SUCCESS", "failed", "painting", ""]),
        "task_status_msg": st.none() | texts | st.sampled_from(["Bearer abcdefgh12345678", "see https://a.b/c?key=1"]),
        "task_info": st.none() | st.fixed_dictionaries({"external_task_id": few}),
        "task_result": st.none()
        | st.fixed_dictionaries(
            {
                "images": st.lists(
                    st.fixed_dictionaries({"index": st.integers(-1, 3), "url": texts, "watermark_url": few}), max_size=3
                )
            }
        ),
        "created_at": st.sampled_from([None, 0, "soon"]) | st.integers(1_577_836_800_000, 2 * 10**12),
        "updated_at": st.none() | st.integers(1_577_836_800, 2 * 10**9),  # some gateways count seconds
        "final_unit_deduction": st.none() | st.sampled_from(["8", "0", "0.5", "1e3", 8, "many"]),
        "final_balance_deduction": st.none()
        | st.fixed_dictionaries(
            {"quota": st.sampled_from(["0.028", "0", 8, "many"])},
            optional={"list_price": st.sampled_from(["0.056", None, []]), "currency": st.sampled_from(["USD", "", 5])},
        )
        | st.sampled_from([[], "", {}]),
    }
).map(lambda task: read_task(task, request_id="r-1"))


def snapshot(status: TaskStatus = TaskStatus.FAILED, *, units: Any = None) -> TaskSnapshot:
    return TaskSnapshot(task_id="t-1", task_status=status, final_unit_deduction=units)


class TestDigest:
    """
    What tells a request from others.
    """

    @settings(deadline=None)
    @given(requests)
    def test_equal_requests_have_one_digest(self, request_: ImageRequest) -> None:
        """
        A request that is made anew of the same fields has the same digest.
        """
        again = ImageRequest(**attrs.asdict(request_))

        assert digest_of(request_, {"image": "a.png"}) == digest_of(again, {"image": "a.png"})

    @pytest.mark.parametrize(
        "change",
        [
            {"prompt": "a lighthouse at dawn"},
            {"negative_prompt": "people"},
            {"image_fidelity": 0.5},
            {"n": 2},
            {"aspect_ratio": "1:1"},
            {"callback_url": "https://example.com"},
            {"model_name": "kling-v2"},
            {"image_reference": "face"},
            {"human_fidelity": 0.5},
            {"resolution": "2k"},
            {"external_task_id": "x"},
            {"element_list": [17]},
            {"watermark_info": True},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_each_field_counts(self, change: dict[str, Any]) -> None:
        """
        A change of any field is another request.
        """
        assert digest_of(REQUEST, {}) != digest_of(attrs.evolve(REQUEST, **change), {})

    def test_fields_are_all_tried(self) -> None:
        """
        The test above knows every field but the image.
        """
        [mark] = [mark for mark in self.test_each_field_counts.pytestmark if mark.name == "parametrize"]
        tried = {name for change in mark.args[1] for name in change}

        assert {*attrs.fields_dict(ImageRequest)} == tried | {"image"}

    def test_image_counts_by_what_stands_for_it(self) -> None:
        """
        Of the image, only the text that stands for it counts.
        """
        with_image = attrs.evolve(REQUEST, image=b"bytes")

        assert digest_of(REQUEST, {"image": "a.png"}) == digest_of(with_image, {"image": "a.png"})
        assert 3 == len({digest_of(REQUEST, files) for files in ({}, {"image": "a.png"}, {"image": "b.png"})})


def test_ids_of_ours_are_told_apart() -> None:
    """
    No two attempts share an id, nor do other rows that a copy has at the same place; and one of them has the same for
    ever.
    """
    ids = {
        external_id_of("0f", position, key, attempt)
        for position in range(12)
        for key in ("a", "b")
        for attempt in range(12)
    }

    assert 288 == len(ids)
    assert "0f-7-ca978112-2" == external_id_of("0f", 7, "a", 2)


class TestMayFollow:
    """
    From where a row comes to a state by itself.
    """

    def test_states_are_all_told(self) -> None:
        """
        Every state is reached from another one.
        """
        assert all(set(may_follow(state)) - {state} for state in State)

    def test_task_is_not_forgotten(self) -> None:
        """
        What has a task never comes back to where it could be sent again, and what ended well never to anywhere before.
        """
        assert [State.SENDING] == may_follow(State.QUEUED)
        assert {State.ACCEPTED, State.FINISHED, State.SAVED, State.FAILED}.isdisjoint(may_follow(State.SENDING))
        assert {State.FINISHED, State.SAVED}.isdisjoint(may_follow(State.FAILED))
        assert {State.FINISHED, State.SAVED, State.FAILED}.isdisjoint(may_follow(State.ACCEPTED))

    def test_failed_is_left_by_choice_alone(self) -> None:
        """
        Nothing follows a failure by itself.
        """
        assert not [state for state in State if State.FAILED in may_follow(state)]


MAY_TRY_AGAIN = {
    "RateLimited",
    "NoFreeSlot",
    "ServiceFailure",
    "UnexpectedAnswer",
    "NotSent",
    "Unreachable",
    "TaskFailed",
}


class TestMayTryAgain:
    """
    Which failed rows may be sent again without paying twice, and with some hope.
    """

    @pytest.mark.parametrize("kind", CLASSES)
    def test_goes_by_class(self, kind: type[KlingError]) -> None:
        """
        Each class of error is decided on.
        """
        assert (kind.__name__ in MAY_TRY_AGAIN) == may_try_again(kind("no"))

    @pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not TaskFailed])
    def test_task_that_exists_is_not_made_twice(self, kind: type[KlingError]) -> None:
        """
        An error that names a task which has not failed is never tried again: a task that succeeded without telling its
        pictures was billed.
        """
        assert not may_try_again(kind("no", "t-1"))

    @pytest.mark.parametrize(
        "reason",
        [
            "",
            "SUCCEED",
            "the task failed: no reason was given",
            "internal error",
            "Service busy, please try again later",
            "task timeout",
            "upstream error: 502 Bad Gateway",
            "generate image failed",
        ],
    )
    def test_passing_reasons_are_tried_again(self, reason: str) -> None:
        """
        A task that failed for a reason that may pass, or for none, is tried again.
        """
        assert may_try_again(TaskFailed(reason, "t-1", snapshot=snapshot()))
        assert may_try_again(TaskFailed(reason, "t-1"))

    @pytest.mark.parametrize(
        "reason",
        [
            "the task failed: Failure to pass the risk control system",
            "Image pixel is invalid",
            "The resolution or aspect ratio of the input image is invalid, please check",
            "File is not in a valid base64 format",
            "Unsupported image format",
            "Your prompt contains SENSITIVE words",
            "blocked by our content policy",
            "content policies were violated",
            "moderation_blocked",
            "NSFW content",
            "prohibited content",
            "内容违规",
            "提示词包含敏感词",
            "未通过风控审核",
        ],
    )
    def test_lasting_reasons_are_not(self, reason: str) -> None:
        """
        A task whose content or picture was refused is not tried again.
        """
        assert not may_try_again(TaskFailed(reason, "t-1", snapshot=snapshot()))

    @pytest.mark.parametrize("units", [Decimal(1), Decimal("0.5")])
    def test_billed_failures_are_never_tried_again(self, units: Decimal) -> None:
        """
        Whatever the reason, what was paid for is not paid for again unasked.
        """
        assert not may_try_again(TaskFailed("internal error", "t-1", snapshot=snapshot(units=units)))

    def test_failures_billed_in_cash_are_not_retried(self) -> None:
        """
        Money from the balance is a bill, like units; an amount of zero is not.
        """
        paid, free = (
            attrs.evolve(snapshot(units=Decimal(0)), final_balance_deduction=BalanceDeduction(Decimal(quota)))
            for quota in ("0.028", "0")
        )

        assert not may_try_again(TaskFailed("internal error", "t-1", snapshot=paid))
        assert may_try_again(TaskFailed("internal error", "t-1", snapshot=free))

    def test_pictures_without_a_task_are_not_paid_again(self) -> None:
        """
        An answer that held pictures, though no task, is not asked for once more.
        """
        assert may_try_again(UnexpectedAnswer("no task"))
        assert not may_try_again(UnexpectedAnswer("no task", urls=("https://x/0.png",)))

    @pytest.mark.parametrize("units", [None, Decimal(0), Decimal("0.00")])
    def test_failures_without_a_bill_are(self, units: Decimal | None) -> None:
        """
        No units, or none that were told, are no bill.
        """
        assert may_try_again(TaskFailed("internal error", "t-1", snapshot=snapshot(units=units)))


class TestRequests:
    """
    Requests as they are stored.
    """

    @settings(deadline=None)
    @given(requests)
    def test_round_trip(self, request_: ImageRequest) -> None:
        """
        A stored request reads the same.
        """
        assert request_ == read_stored_request(write_stored_request(request_), IMAGE_GENERATION, {})

    @settings(deadline=None)
    @given(requests)
    def test_identity_is_read_as_well(self, request_: ImageRequest) -> None:
        """
        What identifies a request without files also reads as it.
        """
        request_ = attrs.evolve(request_, image=None)

        assert request_ == read_stored_request(write_identity(request_, {}).decode(), IMAGE_GENERATION, {})

    def test_path_comes_back(self) -> None:
        """
        The path of a picture is stored beside the request, and belongs to it again.
        """
        request = read_stored_request(
            write_stored_request(REQUEST), IMAGE_GENERATION, {"image": Path("pictures/cat.png")}
        )

        assert attrs.evolve(REQUEST, image=Path("pictures/cat.png")) == request


class TestSnapshots:
    """
    Snapshots as they are stored.
    """

    @settings(deadline=None)
    @given(snapshots)
    def test_round_trip(self, seen: TaskSnapshot) -> None:
        """
        Whatever was read from a service reads the same after being stored, but for what it was read from.
        """
        assert seen == read_stored_snapshot(write_stored_snapshot(seen))

    def test_raw_is_not_kept(self) -> None:
        """
        What a snapshot was read from would be stored twice.
        """
        seen = read_stored_snapshot(write_stored_snapshot(attrs.evolve(snapshot(), raw={"task_id": "t-1", "more": 1})))

        assert seen is not None
        assert {} == seen.raw

    def test_what_was_not_confirmed_stays_so(self) -> None:
        """
        How a result came is kept with it; a service cannot claim it.
        """
        seen = read_stored_snapshot(write_stored_snapshot(attrs.evolve(snapshot(), is_confirmed=False)))

        assert seen is not None
        assert not seen.is_confirmed
        assert read_task({"task_id": "t-1", "task_status": "succeed", "is_confirmed": False}).is_confirmed

    def test_nothing_is_nothing(self) -> None:
        """
        Where nothing was stored, there is no snapshot.
        """
        assert read_stored_snapshot(None) is None


class TestErrors:
    """
    Errors as they are stored.
    """

    @settings(deadline=None)
    @given(
        kind=st.sampled_from(CLASSES),
        message=texts,
        task_id=few,
        request_id=few,
        code=few | st.integers(0, 5002),
        http_status=st.none() | st.integers(200, 599),
    )
    def test_round_trip(self, kind: type[KlingError], **fields: Any) -> None:
        """
        An error of each class keeps what every error has.
        """
        read = read_error(write_error(kind(**fields)), REQUEST, None)

        assert kind is type(read)
        assert fields == {name: getattr(read, name) for name in fields}

    def test_addresses_of_pictures_are_kept(self) -> None:
        """
        What an answer held that named no task is not lost with the run.
        """
        urls = ("https://x/0.png?Signature=a",)
        error = UnexpectedAnswer("no task", http_status=200, is_other_api=True, urls=urls)
        read = read_error(write_error(error), REQUEST, None)
        doubt = read_error(write_error(SubmissionUncertain("lost", urls=urls)), REQUEST, None)

        assert isinstance(doubt, SubmissionUncertain)
        assert urls == doubt.urls
        assert isinstance(read, UnexpectedAnswer)
        assert (error.urls, True, 200) == (read.urls, read.is_other_api, read.http_status)

    def test_request_and_snapshot_are_the_rows(self) -> None:
        """
        The request that is in doubt and the snapshot of a failed task are stored once, in the row.
        """
        doubt = SubmissionUncertain("lost", request=REQUEST)
        failure = TaskFailed("failed", "t-1", snapshot=snapshot())
        read_doubt = read_error(write_error(doubt), REQUEST, None)
        read_failure = read_error(write_error(failure), REQUEST, snapshot())

        assert isinstance(read_doubt, SubmissionUncertain)
        assert isinstance(read_failure, TaskFailed)
        assert REQUEST == read_doubt.request
        assert snapshot() == read_failure.snapshot
        assert "lighthouse" not in write_error(doubt)

    def test_class_of_a_later_version(self) -> None:
        """
        An error of a class that this version does not know is one of ours all the same.
        """
        read = read_error('{"class": "OutOfPaint", "message": "no blue"}', REQUEST, None)

        assert KlingError is type(read)
        assert "no blue" == str(read)

    def test_nothing_is_nothing(self) -> None:
        """
        Where nothing was stored, there is no error.
        """
        assert read_error(None, REQUEST, None) is None


class TestSummary:
    """
    A batch in numbers.
    """

    def test_rows_are_those_of_all_states(self) -> None:
        """
        Each state counts once.
        """
        counts: dict[str, Any] = {state.value: 10**place for place, state in enumerate(State)}

        assert 1111111 == Summary(**counts).rows
        assert 0 == Summary().rows

    @pytest.mark.parametrize("state", State)
    def test_completeness(self, state: State) -> None:
        """
        Rows that another run would send or wait for leave a batch incomplete; those that only a choice moves do not.
        """
        one: dict[str, Any] = {state.value: 1}
        is_left = state in {State.QUEUED, State.SENDING, State.ACCEPTED}

        assert is_left != Summary(**one).is_complete

    def test_failures_that_may_pass_are_left(self) -> None:
        """
        A failed row that may be sent again is something to do.
        """
        assert not Summary(failed=2, may_retry=1).is_complete
        assert Summary(failed=2).is_complete


def test_summary_shows_its_numbers() -> None:
    """
    In a notebook: a bar of what has ended, and a table without the states in which there is nothing.
    """
    summary = Summary(saved=1_200, failed=3, may_retry=2, queued=5, images=2_400, bytes=7_250_000)
    page = Reader(summary._repr_html_())

    assert (
        "rows1,208queued5saved1,200failed3of the failed, may be retried2files2,400megabytes7.2units billedunknown"
        == (page.text)
    )
    assert 2 == len(page.all("span"))


def test_summary_of_nothing_is_shown_too() -> None:
    """
    A journal to which nothing was added yet.
    """
    assert Reader(Summary()._repr_html_()).text.startswith("rows0files0")
