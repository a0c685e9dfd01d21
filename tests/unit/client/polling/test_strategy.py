"""
The cheapest way to ask for many tasks, by what the service offers and what it has shown.
"""

import pytest
from hypothesis import given, strategies as st

from kling_async.client.polling.strategy import PAGE_MAX, QueryMode, QueryPlan, QueryStrategy

MANY = range(1, 101)


@pytest.mark.parametrize(
    ("strategy", "depths", "expected"),
    [
        (QueryStrategy(), MANY, QueryMode.ONE),
        (QueryStrategy(20), [7], QueryMode.ONE),
        (QueryStrategy(20), [1, 2], QueryMode.SEVERAL),
        (QueryStrategy(20), MANY, QueryMode.SEVERAL),
        (QueryStrategy(20, has_pages=True), [1, 2, 3], QueryMode.SEVERAL),
        (QueryStrategy(20, has_pages=True), range(1, 21), QueryMode.PAGES),
        (QueryStrategy(20, has_pages=True), MANY, QueryMode.PAGES),
        (QueryStrategy(1, has_pages=True), [5], QueryMode.ONE),
        (QueryStrategy(1, has_pages=True), [1, 2], QueryMode.PAGES),
    ],
)
def test_the_fewest_requests_win(strategy: QueryStrategy, depths: list[int], expected: QueryMode) -> None:
    """
    One task is asked for by its id, a few by their ids, many by a page.
    """
    assert expected is strategy.plan(depths).mode


def test_page_is_as_large_as_needed() -> None:
    """
    It reaches back to the oldest task, with room for others' tasks, and no further.
    """
    assert QueryPlan(QueryMode.PAGES, 1, 135) == QueryStrategy(20, has_pages=True).plan(MANY)
    assert QueryPlan(QueryMode.PAGES, 1, 30) == QueryStrategy(1, has_pages=True).plan([1, 2, 3])


def test_one_old_task_costs_no_further_page() -> None:
    """
    What lies far back is asked for by its id, beside a page for the others.
    """
    plan = QueryStrategy(20, has_pages=True).plan([*range(1, 61), 3000])

    assert QueryPlan(QueryMode.PAGES, 1, 85) == plan


def test_thousands_take_several_pages() -> None:
    """
    A page has 500 tasks at most.
    """
    plan = QueryStrategy(20, has_pages=True).plan(range(1, 1001))

    assert QueryPlan(QueryMode.PAGES, 3, PAGE_MAX) == plan


def test_very_many_take_pages_as_well() -> None:
    """
    Pages that show fifty thousand tasks are a twentieth of the requests that their ids would take.
    """
    plan = QueryStrategy(20, has_pages=True).plan(range(1, 50_001))

    assert QueryPlan(QueryMode.PAGES, 125, PAGE_MAX) == plan


def test_few_old_tasks_say_nothing_about_a_crowd() -> None:
    """
    They are asked for by their ids in one read; all tasks of a crowd are still found on pages.
    """
    strategy = QueryStrategy(20, has_pages=True)

    assert QueryMode.SEVERAL is strategy.plan(range(8000, 8020)).mode
    assert PAGE_MAX == strategy.per_request


def test_pages_without_our_tasks_lose() -> None:
    """
    Where the service's order is another, or others make many more tasks, ids are the better way; for a while.
    """
    strategy = QueryStrategy(20, has_pages=True)
    for _ in range(3):
        strategy.note_pages(expected=60, missing=60)

    assert QueryMode.SEVERAL is strategy.plan(range(1, 61)).mode
    assert 20 == strategy.per_request
    tries = [strategy.plan(range(1, 61)).mode for _ in range(200)]
    assert QueryMode.PAGES is tries[-1]


def test_where_pages_lose_few_are_asked_for_at_a_time() -> None:
    """
    Who asks by ids should not be handed as many tasks as a page would tell of; until a page is worth it again.
    """
    strategy = QueryStrategy(20, has_pages=True)
    assert 500 == strategy.per_request

    assert QueryMode.SEVERAL is strategy.plan(range(99_000, 100_000)).mode
    assert 20 == strategy.per_request

    assert QueryMode.PAGES is strategy.plan(MANY).mode
    assert 500 == strategy.per_request


def test_pages_that_were_not_expected_to_show_anything_teach_nothing() -> None:
    """
    A poll for tasks that all lie deeper says nothing of pages.
    """
    strategy = QueryStrategy(20, has_pages=True)
    strategy.note_pages(expected=0, missing=0)

    assert QueryMode.PAGES is strategy.plan(MANY).mode


def test_refused_ways_are_not_chosen_again() -> None:
    """
    First no pages, then no ids together.
    """
    strategy = QueryStrategy(20, has_pages=True)
    strategy.note_refused(QueryMode.PAGES)
    assert QueryMode.SEVERAL is strategy.plan(MANY).mode
    strategy.note_refused(QueryMode.SEVERAL)
    assert QueryMode.ONE is strategy.plan(MANY).mode
    strategy.note_refused(QueryMode.ONE)
    assert QueryMode.ONE is strategy.plan(MANY).mode


def test_breaks_count_in_a_row() -> None:
    """
    Four breaks in a row lead elsewhere, one after an answer does not.
    """
    strategy = QueryStrategy(20, has_pages=True)

    assert [False, False, False, True, True] == [strategy.note_failure(QueryMode.PAGES) for _ in range(5)]
    assert not strategy.note_failure(QueryMode.SEVERAL)
    strategy.note_answer(QueryMode.PAGES)
    assert not strategy.note_failure(QueryMode.PAGES)


@given(
    depths=st.lists(st.integers(1, 100_000), min_size=1, max_size=300),
    ids=st.sampled_from([1, 20]),
    has_pages=st.booleans(),
    missing=st.integers(0, 10),
)
def test_no_choice_costs_more_than_asking_by_ids(
    *,
    depths: list[int],
    ids: int,
    has_pages: bool,
    missing: int,
) -> None:
    """
    Whatever is due, pages and what they do not reach take no more requests than ids alone; and no page is too large.
    """
    strategy = QueryStrategy(ids, has_pages=has_pages)
    strategy.note_pages(10, missing)
    plan = strategy.plan(depths)
    if plan.mode is QueryMode.PAGES:
        deeper = [depth for depth in depths if not plan.covers(depth)]
        assert has_pages
        assert 30 <= plan.page_size <= PAGE_MAX
        assert plan.pages + -(-len(deeper) // ids) <= -(-len(depths) // ids)
