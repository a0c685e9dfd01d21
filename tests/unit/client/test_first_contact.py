"""
How long a host is tried that was never reached.
"""

from hypothesis import given, strategies as st

from kling_async.client.first_contact import LAST_ATTEMPT, FirstContact


def test_time_begins_with_the_first_attempt() -> None:
    """
    Each attempt may take what is left, and a second at least; once nothing is left, the client gives up.
    """
    contact = FirstContact(15.0, 60.0)

    assert 15.0 == contact.begin(100.0)
    assert 10.0 == contact.fail(105.0)
    assert 9.0 == contact.begin(106.0)
    assert LAST_ATTEMPT == contact.begin(114.5)
    assert 0.0 == contact.fail(115.5)


def test_pause_begins_anew() -> None:
    """
    A later request has the whole time, and its first failure is worth a warning again.
    """
    contact = FirstContact(15.0, 60.0)
    contact.begin(0.0)
    contact.fail(15.0)

    assert contact.is_failing
    assert LAST_ATTEMPT == contact.begin(75.0)
    assert 15.0 == contact.begin(136.0)
    assert not contact.is_failing


def test_host_that_was_reached_is_waited_for() -> None:
    """
    It has no such end.
    """
    contact = FirstContact(15.0, 60.0, was_reached=True)

    assert contact.fail(1000.0) is None


@given(st.lists(st.floats(0.0, 59.0), min_size=1))
def test_attempts_without_a_pause_come_to_an_end(pauses: list[float]) -> None:
    """
    Whatever their pauses below a minute, those after the time is over fail for good.
    """
    contact, now = FirstContact(15.0, 60.0), 0.0
    contact.begin(now)
    for pause in pauses:
        now += pause
        contact.begin(now)

        assert (contact.fail(now) == 0.0) is (now >= 15.0)
