"""
Patience with a full account, and the end of patience with a request that is too large for it.
"""

from kling_async.client.limits.rejections import RejectionTracker


def test_a_number_that_was_granted_starts_anew() -> None:
    """
    What one request waited in vain says nothing about the next: one slot there is always, and four were granted once.
    """
    refusals = RejectionTracker()
    refusals.accepted(4)

    assert [10.0, 400.0] == [refusals.refused(1, 10.0), refusals.refused(1, 400.0)]
    assert [500.0, 900.0] == [refusals.refused(4, 500.0), refusals.refused(4, 900.0)]


def test_a_number_that_never_was_counts_from_the_first() -> None:
    """
    So does a larger one; a smaller one may be granted, and starts anew.
    """
    refusals = RejectionTracker()

    assert 10.0 == refusals.refused(6, 10.0)
    assert 10.0 == refusals.refused(6, 400.0)
    assert 10.0 == refusals.refused(9, 500.0)
    assert 600.0 == refusals.refused(5, 600.0)
    assert 10.0 == refusals.refused(9, 700.0)


def test_a_request_that_is_granted_speaks_for_smaller_ones() -> None:
    """
    Seven slots there are, so six as well; of nine nobody knows yet.
    """
    refusals = RejectionTracker()
    refusals.refused(6, 10.0)
    refusals.refused(9, 20.0)
    refusals.accepted(7)
    refusals.accepted(1)

    assert [400.0, 450.0] == [refusals.refused(6, 400.0), refusals.refused(6, 450.0)]
    assert 20.0 == refusals.refused(9, 500.0)
