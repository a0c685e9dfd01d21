"""
What the words of a status mean, which are final, and which of two snapshots is newer.
"""

from typing import Final

from kling_async.wire.redaction import one_line, shorten
from kling_async.wire.tasks import TaskSnapshot, TaskStatus

_WORDS: Final = {
    # the vendor's legacy standard, which all image endpoints speak
    "submitted": TaskStatus.SUBMITTED,
    "processing": TaskStatus.PROCESSING,
    "succeed": TaskStatus.SUCCEEDED,
    "failed": TaskStatus.FAILED,
    # the vendor's new standard, and gateways that re-shape answers
    "succeeded": TaskStatus.SUCCEEDED,
    "success": TaskStatus.SUCCEEDED,
    "completed": TaskStatus.SUCCEEDED,
    "failure": TaskStatus.FAILED,
    "not_start": TaskStatus.SUBMITTED,
    "queued": TaskStatus.SUBMITTED,
    "in_progress": TaskStatus.PROCESSING,
}
"""
What each word of a status means. Only this table decides: polls, lists and callbacks all come here.
"""

_SAME_WORDS: Final = {word: word for word in _WORDS}
"""
One text for each usual word, whatever answer it was read from: snapshots are kept while their tasks run.
"""

WORD_LENGTH: Final = 60
"""
Characters of a status word that are shown.
"""

# Python 3.11 looks up a member of an enum by a function, which would take most of the time of those below.
_SUCCEEDED: Final = TaskStatus.SUCCEEDED
_FAILED: Final = TaskStatus.FAILED
_UNKNOWN: Final = TaskStatus.UNKNOWN

_STEP: Final = {TaskStatus.SUBMITTED: 0, TaskStatus.PROCESSING: 1}


def read_word(value: object) -> tuple[TaskStatus, str]:
    """
    Return what the service's word for a status means, in any case, and the word ready to be shown; the original is in
    `TaskSnapshot.raw`.
    """
    word = value if isinstance(value, str) else ""
    shown = word if word.isprintable() and len(word) <= WORD_LENGTH else shorten(one_line(word), WORD_LENGTH)
    return _WORDS.get(word.casefold(), _UNKNOWN), _SAME_WORDS.get(shown, shown)


def is_final(status: TaskStatus) -> bool:
    """
    Return whether a task with this *status* will never change again.
    """
    return status is _SUCCEEDED or status is _FAILED  # hashing an enum is slow


def is_settled(snapshot: TaskSnapshot) -> bool:
    """
    Return whether nothing is left to learn: it failed, or it succeeded and what it made is known.
    """
    if snapshot.task_status is _SUCCEEDED:
        made = snapshot.task_result
        return bool(made.images or made.videos or made.audios or made.voices or made.elements)
    return snapshot.task_status is _FAILED


def has_succeeded(snapshot: TaskSnapshot) -> bool:
    """
    Return whether it succeeded and its files are known.
    """
    return snapshot.task_status is _SUCCEEDED and is_settled(snapshot)


def reason_of(failed: TaskSnapshot) -> str:
    """
    Return why a task failed, in the service's words.
    """
    return failed.task_status_msg or "the service gave no reason"


def merge(held: TaskSnapshot | None, seen: TaskSnapshot) -> TaskSnapshot:
    """
    Return the newer of two snapshots of one task.

    A final one stays: a late, repeated or out-of-order snapshot changes nothing. It may still gain its files, because
    some services say "succeed" before they list them.
    """
    if held is None or seen is held:
        return seen
    if is_final(held.task_status):
        gains = held.task_status is seen.task_status and is_settled(seen) and not is_settled(held)
        return seen if gains else held
    if is_final(seen.task_status):
        return seen
    if seen.updated_at and held.updated_at and seen.updated_at != held.updated_at:
        return held if seen.updated_at < held.updated_at else seen
    # Without two clocks the order of the words decides; an unknown word has no place in it and counts as news.
    return held if _STEP.get(seen.task_status, 1) < _STEP.get(held.task_status, 0) else seen
