"""
An endpoint declares all that differs between endpoints. The rest of the package knows requests only through it.
"""

import functools
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

import attrs

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.dialects import Dialect
from kling_async.wire.endpoints.inputs import FileFacts, FileInput
from kling_async.wire.redaction import shorten

__all__ = [
    "ID_LENGTH",
    "LAST_PAGE",
    "Endpoint",
    "NewStandard",
    "RecordList",
    "ResultList",
    "TaskRequest",
    "as_tuple",
    "may_have_files",
    "several",
    "sources_of",
    "stands_in_path",
    "with_fields",
    "with_sources",
]


class TaskRequest(attrs.AttrsInstance, Protocol):
    """
    A request that creates a task: a frozen attrs class with the wire's field names. Its `Endpoint` declares the rest.
    """

    @property
    def callback_url(self) -> str | None:
        """
        Where the service reports changes.
        """

    @property
    def external_task_id(self) -> str | None:
        """
        The id of yours or ours under which it is sent.
        """


R = TypeVar("R", bound=TaskRequest)

ResultList: TypeAlias = Literal["images", "videos", "audios"]
"""
A list of files.
"""

RecordList: TypeAlias = Literal["voices", "elements"]
"""
A list of what the service keeps, and which is no file.
"""

ID_LENGTH: Final = 256
"""
Maximum number of characters of an id. The vendor documents no limit; its ids have 18 or 19 digits, or 36
characters where they are UUIDs. The relay new-api keeps ids in a column of 191 characters (`TaskID` in its
`model/task.go`). Even quoted, an id of this length fits into the 8190 bytes of a request line that servers take.
"""

LAST_PAGE: Final = 1000
"""
The number of the vendor's last page of tasks.
"""


def stands_in_path(any_id: str) -> bool:
    """
    Return whether *any_id* can be the last part of a path: a path of dots leads elsewhere, an empty one to the list.
    """
    return len(any_id) <= ID_LENGTH and any_id.strip() not in ("", ".", "..") and any_id.isprintable()


def as_tuple(items: Any) -> Any:
    """
    Return a list as a tuple, and any other value as it is, for validation to report.
    """
    return tuple(items) if isinstance(items, list) else items


def _everything(_: TaskRequest) -> Hashable:
    return ()


def _prompt(request: TaskRequest) -> str:
    return getattr(request, "prompt", None) or ""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class NewStandard(Generic[R]):
    """
    The twin of an endpoint in the vendor's new standard. It creates tasks at a path of its own, and they are read with
    the tasks of all endpoints.

    Attributes:
        path: The name of the model follows it.
        segment: Returns that name.
        is_needed: Whether a request can be sent in this standard only.
        to_body: Returns the body to send, for the fields of a request as the codec writes them.
        from_body: Returns those fields of such a body and the name of a model, for the emulator. Raises ValueError.
    """

    path: str
    segment: Callable[[R, Dialect], str]
    is_needed: Callable[[R, Dialect], bool]
    to_body: Callable[[Mapping[str, Any]], dict[str, Any]]
    from_body: Callable[[Mapping[str, Any], str], Mapping[str, Any]]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Endpoint(Generic[R]):
    """
    An endpoint that creates tasks. To add one, write a module like `image_generation` and register it.

    Attributes:
        name: Its name in journals, handles, events and JSON: "image-generation". It never changes.
        title: Its name in messages: "image generation".
        path: Follows a client's `base_url`, for POST; tasks are read below it.
        request_class: The class of its requests.
        results: The lists of a result that its tasks fill, the most important first.
        rules:
            Yields the rules of a service that a request breaks, all of them. The mapping has the facts about the
            files of `inputs`, by place (see `FileInput`); files that are URLs are not in it.
        inputs: The fields that hold files.
        files: Returns how many files a request asks for at most, in each of `results`.
        fewest_files: Returns how many it makes at least, in each; None if it makes as many as it asks for.
        slots: Returns how many slots a request takes, from acceptance until its task is final; the most, if the service
            decides how many files it makes.
        bucket: Returns the name of the slots that it takes: requests with the same name share them.
        duration_key: Returns a key that is equal for requests whose tasks take about the same time.
        units: Returns what a request costs if it succeeds, in the vendor's units; None if that is unknown.
        units_at_most: Returns the most that it can cost, where `units` is unknown since only the service sees how long
            an input is, or decides how much it makes; None if that is unknown, too.
        units_by_length: Returns what it costs if its files last so many seconds, where `units` is unknown; None if that
            is unknown, too.
        price_key: Returns a key that is equal for requests without input files that have the same model, make as many
            files and cost the same, so that a dry run of many finds these out once; None if it is to do so for each.
        unit_price: Price of one unit in US dollars, by the vendor's price page; None if that is unknown.
        to_body: Returns the body to send, for the fields of a request as the codec writes them; None if these are it.
        from_body: Returns those fields of such a body, for the emulator. Raises ValueError for one that has none.
        new_standard: Its twin in the vendor's new standard; None if it has none.
        defaults: Returns explicit values for the defaults that the service should not choose, by field.
        caption: Returns a text that identifies the request for people.
        external_ids: Whether an id of ours can be sent and found, if the service can.
        lookup_proves_absence:
            Whether there is no task if a lookup by an id of ours finds none. Otherwise a submit whose answer is lost is
            never sent again.
        lists: Whether its tasks can be listed, if the service can.
        several_ids: Whether one request can ask for several of its tasks, if the service can.
        timeout: Seconds that `generate` waits for a task, by default.
        legacy: The endpoint whose twin in the new standard it is; None if it is no twin.
    """

    name: str
    title: str
    path: str
    request_class: type[R]
    results: tuple[ResultList | RecordList, ...]
    rules: Callable[[R, Dialect, Mapping[str, FileFacts]], Iterable[BrokenRule]]
    bucket: Callable[[R, Dialect], str]
    inputs: tuple[FileInput, ...] = ()
    files: Callable[[R], int] = lambda _: 1
    fewest_files: Callable[[R], int] | None = None
    slots: Callable[[R], int] = lambda _: 1
    duration_key: Callable[[R], Hashable] = _everything
    units: Callable[[R, Dialect], Decimal | None] = lambda _request, _dialect: None
    units_at_most: Callable[[R, Dialect], Decimal | None] = lambda _request, _dialect: None
    units_by_length: Callable[[R, Dialect, float], Decimal | None] = lambda _request, _dialect, _seconds: None
    price_key: Callable[[R], Hashable] | None = None
    unit_price: Decimal | None = None
    to_body: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    from_body: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    new_standard: NewStandard[R] | None = None
    defaults: Callable[[R, Dialect], Mapping[str, Any]] = lambda _request, _dialect: {}
    caption: Callable[[R], str] = _prompt
    external_ids: bool = True
    lookup_proves_absence: bool = True
    lists: bool = True
    several_ids: bool = True
    timeout: float = 600.0
    legacy: "Endpoint[R] | None" = None

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"

    def complete(self, request: R, dialect: Dialect) -> R:
        """
        Return *request* with its `defaults`.
        """
        defaults = self.defaults(request, dialect)
        return with_fields(request, **defaults) if defaults else request

    def spoken(self, request: R, dialect: Dialect) -> "Endpoint[R]":
        """
        Return the endpoint at which *request* creates its task: this one, or its twin in the new standard.
        """
        new = self.new_standard
        if new is None or dialect.standard == "legacy only":
            return self
        if dialect.standard == "new" or new.is_needed(request, dialect):
            segment = new.segment(request, dialect)
            if isinstance(segment, str) and stands_in_path(segment):  # otherwise its rules refuse the request
                return _twin(self, segment)
        return self

    def counterpart(self, dialect: Dialect) -> "Endpoint[R] | None":
        """
        Return this endpoint in the other standard, in which one of its tasks may have been created, to read it; None if
        there is none.
        """
        if self.legacy is not None:
            return self.legacy
        return None if self.new_standard is None or dialect.standard == "legacy only" else _twin(self, "")

    def one(self, any_id: str) -> str:
        """
        Return the path of one task, by its task id or, if the service knows those, its external id. In the new standard
        it is a list of one task.

        Raises:
            InvalidRequest: No task can have this id.
        """
        if not stands_in_path(any_id):
            rule = f"must be an id that can stand in a path, of at most {ID_LENGTH} characters"
            broken = BrokenRule("task_id", repr(shorten(any_id)), rule)
            raise InvalidRequest(str(broken), broken=(broken,))
        part = any_id if any_id.isascii() and any_id.isalnum() else quote(any_id, safe="")
        return f"/tasks?task_ids={part}" if self.legacy is not None else f"{self.path}/{part}"

    def sent_as(self, external_id: str) -> str:
        """
        Return the path of the task that was sent under an id of ours.
        """
        if self.legacy is not None:
            return f"/tasks?external_task_ids={quote(external_id, safe='')}"
        return self.one(external_id)

    def page(self, number: int, size: int) -> str:
        """
        Return the path of a page of the account's tasks; *number* counts from 1 to `LAST_PAGE`, *size* is at most 500.
        """
        return f"{self.path}?pageNum={number}&pageSize={size}"


@functools.cache
def _twin(endpoint: Endpoint[R], segment: str) -> Endpoint[R]:
    new = endpoint.new_standard
    if new is None:
        raise AssertionError(f"{endpoint.name} has no twin")
    path = f"{new.path}/{quote(segment, safe='')}"
    return attrs.evolve(endpoint, path=path, to_body=new.to_body, new_standard=None, lists=False, legacy=endpoint)


def may_have_files(endpoint: Endpoint[Any], request: TaskRequest) -> bool:
    """
    Return whether *request* may have files: an empty list counts. `sources_of` takes many times as long.
    """
    for each in endpoint.inputs:  # noqa: SIM110 (`any` takes twice the time)
        if getattr(request, each.field) is not None:
            return True
    return False


def sources_of(endpoint: Endpoint[Any], request: TaskRequest) -> dict[str, Any]:
    """
    Return the files of *request*, by place (see `FileInput`).
    """
    return {place: source for each in endpoint.inputs for place, source in each.sources(request)}


def with_sources(endpoint: Endpoint[Any], request: R, sources: Mapping[str, Any]) -> R:
    """
    Return *request* with other files, by place (see `FileInput`).
    """
    changed = {}
    for each in endpoint.inputs:
        value = getattr(request, each.field)
        if (other := each.with_sources(value, sources)) is not value:
            changed[each.field] = other
    return with_fields(request, **changed) if changed else request


def with_fields(request: R, /, **fields: Any) -> R:
    """
    Return *request* with other values of some fields, as `attrs.evolve` does. Where nothing would convert or check
    those values, it is copied rather than constructed, in half the time: each submit needs it.
    """
    kind = type(request)
    names, values, unchecked = _fields_of(kind)
    if not unchecked.issuperset(fields):
        return kind(**{**dict(zip(names, values(request), strict=True)), **fields})
    copied = object.__new__(kind)
    set_value = object.__setattr__.__get__(copied)  # requests are frozen
    for name, value in zip(names, values(request), strict=True):
        set_value(name, value)
    for name, value in fields.items():
        set_value(name, value)
    return copied


@functools.cache
def _fields_of(kind: type[TaskRequest]) -> tuple[tuple[str, ...], Callable[[object], tuple[Any, ...]], frozenset[str]]:
    # The names of the fields, what reads them all, and those whose values the constructor takes as they are; a request
    # has several fields: it has those of `TaskRequest`.
    fields = [field for field in attrs.fields(kind) if field.init]
    aliases = tuple(field.alias for field in fields)
    slots = {slot for base in kind.__mro__ for slot in vars(base).get("__slots__", ()) if slot != "__weakref__"}
    hooks = ("__attrs_pre_init__", "__attrs_post_init__")
    is_all = slots == {*aliases} and kind.__dictoffset__ == 0 and not any(hasattr(kind, hook) for hook in hooks)
    unchecked = frozenset(field.name for field in fields if is_all and field.converter is field.validator is None)
    return aliases, operator.attrgetter(*(field.name for field in fields)), unchecked


def several(task_ids: Iterable[str]) -> str:
    """
    Return the path of several tasks, of any endpoint, by their task ids (the vendor's new standard; 20 at most).
    """
    return "/tasks?task_ids=" + ",".join(quote(task_id, safe="") for task_id in task_ids)
