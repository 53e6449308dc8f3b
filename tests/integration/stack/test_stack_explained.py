"""Why an item is in a slate, and why another is not, over the whole stack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from served_stack import eventually

from recency import Event, Reason, ReasonKind, Recency, Slate, event


def _clicks(film_ids: list[str], count: int) -> list[Event]:
    """Behaviour of some days ago: the moment between two requests changes nothing about its age."""
    now = datetime.now(UTC)
    return [
        event("", film_ids[11 * n], event_id=f"c{n}", event_time=now - timedelta(days=10, hours=count - n))
        for n in range(count)
    ]


def _added(slate: Slate, *kinds: ReasonKind) -> dict[str, float]:
    return {
        r.item_id: sum(reason.contribution for reason in r.reasons if reason.kind in kinds)
        for r in slate.recommendations
    }


def _causes(slate: Slate) -> dict[str, tuple[str, ...]]:
    assert slate.trace is not None
    return {one.cause: one.item_ids for one in slate.trace.filtered}


@pytest.mark.parametrize("query", ["", "a funny film about war"])
def test_contributions_add_up_to_the_difference_that_the_events_and_the_words_make(here, film_ids, query):
    clicks, named = _clicks(film_ids, 10), film_ids[1:11]

    def full() -> Slate:
        return here.recommend("", recent_events=clicks, candidate_item_ids=named, query=query, explain=True)

    # What other tests did a moment ago may still move a trend between two answers.
    for _ in range(5):
        slate, without, again = full(), here.recommend("", recent_events=clicks[:2], candidate_item_ids=named), full()
        if [r.score for r in again.recommendations] == pytest.approx(
            [r.score for r in slate.recommendations], abs=1e-5
        ):
            break
    assert not slate.degraded
    scores = {r.item_id: r.score for r in without.recommendations}
    added = _added(slate, ReasonKind.BEHAVIOUR, ReasonKind.QUERY)
    assert any(abs(value) > 0.01 for value in added.values())
    for place in slate.recommendations:
        assert added[place.item_id] == pytest.approx(place.score - scores[place.item_id], abs=1e-4)
        events = [reason.event_id for reason in place.reasons if reason.kind is ReasonKind.BEHAVIOUR]
        assert sorted(events) == [f"c{n}" for n in range(2, 10)]


def test_reasons_speak_english_and_chinese(here: Recency, film_ids: list[str]) -> None:
    here.feedback([event("reader", film_ids[20], "LIKE", event_id="reader-1")])
    title = here.get_item(film_ids[20]).title
    for locale, because, although in (
        ("en-GB", f"Because you liked {title}", f"Although you liked {title}"),
        ("zh-CN", f"因为您喜欢《{title}》", f"尽管您喜欢《{title}》"),
    ):
        slate = here.recommend("reader", explain=True, context={"locale": locale})
        said = {reason.text for r in slate.recommendations for reason in r.reasons if reason.event_id == "reader-1"}
        assert said & {because, although}
        kinds = {reason.kind for r in slate.recommendations for reason in r.reasons}
        assert {ReasonKind.BEHAVIOUR, ReasonKind.CONTENT} <= kinds


def test_somebody_unknown_is_told_that_many_take_it_up(here: Recency) -> None:
    for locale, text in (("en", "Is taken up by many people"), ("zh", "许多人的选择")):
        slate = here.recommend("", explain=True, context={"locale": locale})
        kinds = {reason.kind for place in slate.recommendations for reason in place.reasons}
        assert kinds == {ReasonKind.TREND}
        assert text in {reason.text for place in slate.recommendations for reason in place.reasons}


def test_what_trends_is_told_with_what_that_adds(here: Recency, film_ids: list[str]) -> None:
    risen, still = film_ids[70:72]
    crowd = [f"crowd-{number}" for number in range(30)]

    def trends() -> dict[str, list[Reason]]:
        slate = here.recommend("", candidate_item_ids=[risen, still], explain=True)
        assert not slate.degraded
        return {
            place.item_id: [r for r in place.reasons if r.kind is ReasonKind.TREND and r.contribution]
            for place in slate.recommendations
        }

    [before] = here.recommend("", candidate_item_ids=[risen]).recommendations
    try:
        here.feedback([event(user_id, risen, "LIKE") for user_id in crowd])
        eventually(lambda: trends()[risen], lambda: str(trends()), 10.0)
        [now] = here.recommend("", candidate_item_ids=[risen]).recommendations
        found = trends()
        assert [reason.text for reason in found[risen]] == ["Is trending now"]
        # What other tests did before may have moved it since the release, too.
        assert found[risen][0].contribution >= now.score - before.score - 0.1
        assert now.score > before.score
        assert found[still] == []
    finally:
        for user_id in crowd:
            here.delete_user(user_id)


def test_a_trace_says_why_an_item_is_not_there_and_which_events_counted(here: Recency, film_ids: list[str]) -> None:
    seen, excluded, hidden, other, *rest = film_ids[30:60]
    token = here.feedback(
        [
            event("asker", seen, event_id="asker-click"),
            event("asker", other, "IMPRESSION", event_id="asker-shown"),
            event("asker", "no such film", event_id="asker-unknown"),
        ]
    ).consistency_token
    here.hide_items([hidden], reason="a test")
    try:
        slate = here.recommend(
            "asker",
            candidate_item_ids=[seen, excluded, hidden, other, *rest, "no such film"],
            exclude_item_ids=[excluded],
            filter=f'NOT item_id = "{other}"',
            page_size=len(rest) - 1,
            consistency_token=token,
            trace=True,
        )
    finally:
        here.unhide_items([hidden], reason="the test is over")
    [last] = set(rest) - set(slate.item_ids)
    assert _causes(slate) == {
        "seen": (seen,),
        "excluded": (excluded,),
        "hidden": (hidden,),
        "filter": (other,),
        "rank": (last,),
        "unknown": ("no such film",),
    }
    assert slate.trace is not None
    assert slate.trace.used_event_ids == ("asker-click",)
    assert slate.trace.unused_event_ids == ("asker-shown", "asker-unknown")
    assert [stage for stage, _ in slate.trace.stages][:3] == ["catch up", "read the user", "aim"]
    assert slate.trace.candidates_by_source["SOURCE_CANDIDATE"] >= len(rest)
