"""Events as they are, over the whole stack: sessions, what is taken back, what is not liked, visitors who log in."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from served_stack import ServedStack

from recency import AsyncRecency, Event, InvalidArgument, Recency, event


def test_a_session_refreshes_its_slate_with_each_event_and_each_change_of_mind(here: Recency) -> None:
    with here.session("session-1", page_size=5) as session:
        first = session.newest()
        assert (len(first.item_ids), first.freshness.events_used) == (5, 0)
        for number, item_id in enumerate(first.item_ids[:3], 1):
            session.send([event("", item_id)])
            slate = session.newest()
            assert not slate.degraded, slate.degraded_reason
            assert slate.freshness.events_used == number
            assert item_id not in slate.item_ids
        session.ask(page_size=20, query="animated film for children", query_weight=1.0)
        asked = session.newest()
        assert len(asked.item_ids) == 20
        assert asked.item_ids != here.recommend("session-1", page_size=20).item_ids
        assert (
            asked.item_ids
            == here.recommend("session-1", page_size=20, query="animated film for children", query_weight=1.0).item_ids
        )
        session.send([event("", "")])
        with pytest.raises(InvalidArgument) as refused:
            session.newest()
        assert [violation.field for violation in refused.value.violations] == ["events[0].item_id"]


async def test_a_burst_in_a_session_is_answered_by_its_newest(stack: ServedStack, film_ids: list[str]) -> None:
    async with AsyncRecency(stack.here.address) as client, client.session("session-2", page_size=50) as session:
        for film in film_ids[:30]:
            await session.send([event("session-2", film)])
        reflected = []
        async for refresh in session:
            reflected.append(refresh.messages_reflected)
            assert not set(film_ids[: refresh.messages_reflected - 1]) & set(refresh.slate.item_ids)
            if reflected[-1] == session.sent:
                break
        assert reflected == sorted(set(reflected))


@pytest.mark.promise(2)
def test_what_is_taken_back_is_out_of_the_next_history_on_either_gateway(
    here: Recency, there: Recency, film_ids: list[str]
) -> None:
    clicks = [event("back-1", film, event_id=f"back-1/{n}") for n, film in enumerate(film_ids[:3])]
    here.feedback(clicks)
    plain = there.recommend("back-1", page_size=20)
    assert plain.freshness.events_used == 3
    here.feedback([event("back-1", film_ids[1], retracts_event_id="back-1/1")])
    for client in (there, here):
        slate = client.recommend("back-1", page_size=20)
        assert slate.freshness.events_used == 2
        assert slate.item_ids != plain.item_ids
    # The retraction of what has not come yet, at the other gateway; and a cart that is emptied.
    there.feedback([event("back-1", film_ids[3], retracts_event_id="back-1/3")])
    here.feedback([event("back-1", film_ids[3], event_id="back-1/3"), event("back-1", film_ids[4], "ADD_TO_CART")])
    assert there.recommend("back-1").freshness.events_used == 3
    there.feedback([event("back-1", film_ids[4], "REMOVE_FROM_CART")])
    assert here.recommend("back-1").freshness.events_used == 2
    with_another = here.feedback([event("back-2", film_ids[0], retracts_event_id="back-1/0"), event("back-2", "x")])
    assert [rejected.field for rejected in with_another.rejected] == ["events[0].retracts_event_id"]


def test_what_a_user_dislikes_goes_and_what_is_like_it_goes_down(here: Recency, there: Recency) -> None:
    plain = here.recommend("dislike-1", page_size=30)
    kinds = {item_id: set(here.get_item(item_id).categories) for item_id in plain.item_ids}
    disliked = plain.item_ids[0]

    def alike(item_ids: tuple[str, ...]) -> float:
        return sum(
            len(kinds[disliked] & set(here.get_item(i).categories)) / (place + 1) for place, i in enumerate(item_ids)
        )

    here.feedback([event("dislike-1", disliked, "DISLIKE", event_id="dislike-1/1")])
    for client in (here, there):
        slate = client.recommend("dislike-1", page_size=30, include_seen=True)
        assert not slate.degraded, slate.degraded_reason
        assert disliked not in slate.item_ids
        assert alike(slate.item_ids) < alike(plain.item_ids[1:])
        # It moves the order; the chances stay those of the user (trends move on between the two answers).
        chances = {place.item_id: place.probability for place in plain.recommendations}
        kept = [place for place in slate.recommendations if place.item_id in chances]
        assert kept
        assert all(place.probability == pytest.approx(chances[place.item_id], abs=0.01) for place in kept)
    there.feedback([event("dislike-1", disliked, "DISLIKE", retracts_event_id="dislike-1/1")])
    assert disliked in here.recommend("dislike-1", page_size=30).item_ids


@pytest.mark.promise(2)
def test_a_visitor_who_logs_in_is_the_user_in_the_next_answer_of_either(
    here: Recency, there: Recency, film_ids: list[str]
) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    here.feedback([event("visitor-1", film, event_time=start) for film in film_ids[:4]])
    here.feedback([event("member-1", film, event_time=start) for film in film_ids[4:6]])
    assert [client.recommend("member-1").freshness.events_used for client in (here, there)] == [2, 2]
    done = there.merge_users("visitor-1", "member-1")
    assert done.moved_events == 4
    for client in (here, there):
        slate = client.recommend("member-1", consistency_token=done.consistency_token, strict_consistency=True)
        assert slate.freshness.events_used == 6
        assert not set(film_ids[:6]) & set(slate.item_ids)
        assert client.recommend("visitor-1").freshness.events_used == 0
    assert here.merge_users("visitor-1", "member-1").moved_events == 0


def test_a_type_of_ones_own_counts_by_its_weight(stack: ServedStack, here: Recency, film_ids: list[str]) -> None:
    own = event("custom-1", film_ids[0], "CUSTOM", custom_type="subscribed", event_id="custom-1/1")
    unknown = event("custom-1", film_ids[1], "CUSTOM", custom_type="unheard")
    done = here.feedback([own, unknown])
    assert done.accepted == 1
    assert done.rejected[0].field == "events[1].custom_type"
    assert done.rejected[0].reason.endswith("configured under events.custom are subscribed")
    slate = here.recommend("custom-1", page_size=50)
    assert slate.freshness.events_used == 1
    assert film_ids[0] not in slate.item_ids
    with stack.folder.opened() as store:
        stored = store.get_events(["custom-1/1"])["custom-1/1"].event()
    assert (stored.type, stored.custom_type) == (16, "subscribed")


def test_one_impression_says_that_a_whole_slate_was_shown(here: Recency, there: Recency) -> None:
    slate = here.recommend("shown-1", page_size=5, context={"device": "tv"})
    shown = event("shown-1", "", "IMPRESSION", recommendation_id=slate.recommendation_id, context={"device": "tv"})
    here.feedback([shown])
    [kept] = there.get_user("shown-1").history
    assert tuple(kept.shown_item_ids) == slate.item_ids
    assert there.recommend("shown-1").freshness.events_used == 0


def test_an_anonymous_sessions_pages_follow_what_it_does_and_never_repeat(here: Recency, there: Recency) -> None:
    """Nothing is stored of it; the clients are of two gateways."""
    shown: list[str] = []
    recent: list[Event] = []
    token = ""
    for number in range(4):
        client = (here, there)[number % 2]
        slate = client.recommend(session_id="nobody", page_size=8, page_token=token, recent_events=recent)
        assert slate.freshness.events_used == len(recent)
        assert len(slate.item_ids) == 8
        assert not set(slate.item_ids) & set(shown)
        shown += slate.item_ids
        recent.append(event("", slate.item_ids[0], event_id=""))
        token = slate.next_page_token


def test_what_users_report_waits_for_a_person_whose_decision_holds_at_once(
    stack: ServedStack, here: Recency, there: Recency, film_ids: list[str]
) -> None:
    film = film_ids[-1]
    here.feedback([event(f"report-{n}", film, "REPORT", context={"reason": f"says {n}"}) for n in range(2)])
    there.feedback([event("report-1", film, "REPORT")])
    [waiting] = stack.folder.run("review", "list")
    assert (waiting["item_id"], waiting["users"], waiting["reports"], waiting["reason"]) == (film, 2, 3, "")
    assert film not in here.recommend("report-0", page_size=500, include_seen=True).item_ids
    try:
        stack.folder.run("review", "resolve", film, "--hide", "--reason", "a test")
        assert stack.folder.run("review", "list") == []
        for client in (here, there):
            assert film not in client.recommend(candidate_item_ids=[film]).item_ids
    finally:
        here.unhide_items([film], "a test")


def test_a_session_in_the_terminal_clicks_and_asks(stack: ServedStack) -> None:
    command = stack.folder.command(
        "recommend", "terminal-1", "-n", "3", "--interactive", "--address", stack.here.address
    )
    done = subprocess.run(command, input="2\nfilms at sea\n\n", capture_output=True, text=True, check=True)
    decoder, text, slates = json.JSONDecoder(), done.stdout.lstrip(), []
    while text:
        slate, end = decoder.raw_decode(text)
        slates.append(slate)
        text = text[end:].lstrip()
    assert [slate["freshness"]["events_used"] for slate in slates] == [0, 1, 1]
    clicked = slates[0]["recommendations"][1]["item_id"]
    assert clicked not in [place["item_id"] for slate in slates[1:] for place in slate["recommendations"]]
