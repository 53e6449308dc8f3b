"""Both clients against a small gRPC server in this process."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

import recency
from recency.channel import OPTIONS
from recency.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    event_pb2,
    item_pb2,
    recommendation_pb2,
    recommendation_pb2_grpc,
    release_pb2,
    release_pb2_grpc,
)

ITEMS = [item_pb2.Item(item_id=f"i{n}", title=f"T{n}") for n in range(5)]


def _abort_with_details(context: grpc.ServicerContext, code: grpc.StatusCode, message: str, detail: object) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status = status_pb2.Status(code=getattr(code_pb2, code.name), message=message, details=[packed])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


class Service(
    recommendation_pb2_grpc.RecommendationServiceServicer,
    catalog_pb2_grpc.CatalogServiceServicer,
    release_pb2_grpc.ReleaseServiceServicer,
):
    def __init__(self) -> None:
        self.unavailable = 0
        self.calls: list[object] = []

    def Recommend(self, request, context):
        self.calls.append(request)
        if request.user_id == "bad":
            violation = error_details_pb2.BadRequest.FieldViolation(field="page_size", description="1..500")
            detail = error_details_pb2.BadRequest(field_violations=[violation])
            _abort_with_details(context, grpc.StatusCode.INVALID_ARGUMENT, "page_size: 1..500", detail)
        if request.user_id == "busy":
            detail = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=250_000_000))
            _abort_with_details(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too much", detail)
        if request.user_id in grpc.StatusCode.__members__:
            context.abort(grpc.StatusCode[request.user_id], "so it is")
        response = recommendation_pb2.RecommendResponse(recommendation_id="r")
        for n in range(request.page_size):
            response.recommendations.add(item_id=f"i{n}", score=1.0 - n)
        return response

    def Feedback(self, request, context):
        self.calls.append(request)
        if self.unavailable:
            self.unavailable -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
        response = event_pb2.FeedbackResponse(consistency_token="t", accepted=len(request.events) - 1, duplicates=0)
        response.rejected.add(index=1, field="events[1].item_id", reason="empty")
        return response

    def UpsertItems(self, request, context):
        return catalog_pb2.UpsertItemsResponse(consistency_token="t", created=len(request.items), updated=1)

    def DeleteItems(self, request, context):
        return catalog_pb2.DeleteItemsResponse(consistency_token="t", deleted=1, missing_item_ids=request.item_ids[1:])

    def HideItems(self, request, context):
        return catalog_pb2.HideItemsResponse(consistency_token=request.reason, missing_item_ids=request.item_ids)

    def UnhideItems(self, request, context):
        return catalog_pb2.UnhideItemsResponse(consistency_token=request.reason)

    def GetItem(self, request, context):
        if request.item_id == "none":
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no item none")
        return catalog_pb2.GetItemResponse(item=ITEMS[0])

    def ListItems(self, request, context):
        start = int(request.page_token or 0)
        end = start + request.page_size
        return catalog_pb2.ListItemsResponse(
            items=ITEMS[start:end], next_page_token=str(end) if end < len(ITEMS) else ""
        )

    def ListReleases(self, request, context):
        start = int(request.page_token or 2)
        token = str(start - 1) if start > 1 else ""
        return release_pb2.ListReleasesResponse(releases=[release_pb2.Release(release=start)], next_page_token=token)

    def GetRelease(self, request, context):
        return release_pb2.GetReleaseResponse(release=release_pb2.Release(release=request.release or 2, state=4))

    def ActivateRelease(self, request, context):
        return release_pb2.ActivateReleaseResponse(
            release=release_pb2.Release(release=request.release, state=4, reason=request.reason),
            served=request.wait.seconds == 3,
        )

    def SetCanary(self, request, context):
        release = release_pb2.Release(release=request.release, canary_fraction=request.fraction, reason=request.reason)
        release.use.arm.answers = 7
        release.use.arm.latency_p90.FromMilliseconds(20)
        return release_pb2.SetCanaryResponse(release=release)

    def RollbackRelease(self, request, context):
        self.calls.append(request)
        if request.reason == "away":
            context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return release_pb2.RollbackReleaseResponse(release=release_pb2.Release(release=request.release or 1))

    def SetShadow(self, request, context):
        return release_pb2.SetShadowResponse(
            release=release_pb2.Release(release=request.release, state=1 + request.end)
        )

    def WatchReleases(self, request, context):
        for number in (1, 2):
            yield release_pb2.WatchReleasesResponse(release=release_pb2.Release(release=number))
        context.abort(grpc.StatusCode.UNAVAILABLE, "closing")


@pytest.fixture(scope="module")
def server():
    service = Service()
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(service, server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(service, server)
        release_pb2_grpc.add_ReleaseServiceServicer_to_server(service, server)
        service.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield service
        server.stop(None).wait()


class Blocking:
    """The asyncio client, called as the blocking one is, so that one test serves both."""

    def __init__(self, target: str, **options: object) -> None:
        self._runner = asyncio.Runner()

        async def make() -> recency.AsyncRecency:
            return await recency.AsyncRecency(target, **options).__aenter__()

        self._client = self._runner.run(make())

    def __getattr__(self, name: str):
        method = getattr(self._client, name)

        def call(*args, **kwargs):
            async def collect():
                result = method(*args, **kwargs)
                return [x async for x in result] if inspect.isasyncgen(result) else await result

            return self._runner.run(collect())

        return call

    def close(self) -> None:
        self._runner.run(self._client.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(params=["blocking", "asyncio"])
def client(request, server):
    server.calls.clear()
    made = (recency.Recency if request.param == "blocking" else Blocking)(server.target, timeout_seconds=5)
    yield made
    made.close()


def test_a_slate_comes_back(client, server):
    slate = client.recommend("u", page_size=3, query_weight=0.0)
    assert slate.item_ids == ("i0", "i1", "i2")
    assert slate.recommendation_id == "r"
    assert server.calls[0].HasField("query_weight")
    assert client.recommend().item_ids == ()


def test_feedback_says_what_became_of_each_event(client):
    result = client.feedback([recency.event("u", "i"), recency.event("u", "")])
    assert (result.consistency_token, result.accepted, result.duplicates) == ("t", 1, 0)
    assert [(r.index, r.field, r.reason) for r in result.rejected] == [(1, "events[1].item_id", "empty")]


def test_the_catalogue_is_written_and_read(client):
    assert client.upsert_items([recency.Item(item_id="a")]) == recency.UpsertResult("t", 1, 1)
    assert client.delete_items(["a", "b"]) == recency.DeleteResult("t", 1, ("b",))
    assert client.hide_items(["a"], "rude") == recency.HideResult("rude", ("a",))
    assert client.unhide_items(["a"], "fine") == recency.HideResult("fine", ())
    assert client.get_item("i0").title == "T0"
    assert [i.item_id for i in client.list_items(page_size=2)] == ["i0", "i1", "i2", "i3", "i4"]


def test_releases_are_listed_over_pages(client):
    assert [r.release for r in client.list_releases()] == [2, 1]
    assert client.get_release().state is recency.ReleaseState.ACTIVE
    assert client.get_release(1).release == 1


def test_releases_are_moved(client):
    assert client.activate_release(3, reason="better").served is False
    activated = client.activate_release(3, reason="better", wait=timedelta(seconds=3))
    assert (activated.release.release, activated.release.reason, activated.served) == (3, "better", True)
    canary = client.set_canary(4, 0.25)
    assert (canary.canary_fraction, canary.use.arm.answers, canary.use.shadow) == (0.25, 7, None)
    assert canary.use.arm.latency_p90 == timedelta(milliseconds=20)
    assert client.roll_back_release().release == 1
    assert client.set_shadow(5, end=True).state is recency.ReleaseState.SHADOW


def test_a_rollback_is_never_sent_twice(client, server):
    with pytest.raises(recency.Unavailable):
        client.roll_back_release(reason="away")
    assert len(server.calls) == 1


def test_changes_of_releases_are_watched_until_the_server_goes(client):
    with pytest.raises(recency.Unavailable, match="closing"):
        list(client.watch_releases())


def test_each_change_of_a_release_comes_as_one(server):
    with recency.Recency(server.target) as client:
        watched = client.watch_releases(include_current=True)
        assert [next(watched).release, next(watched).release] == [1, 2]


def test_a_bad_request_names_the_fields(client):
    with pytest.raises(recency.InvalidArgument, match="page_size") as caught:
        client.recommend("bad")
    assert caught.value.violations == (recency.FieldViolation("page_size", "1..500"),)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_an_overloaded_server_says_when_to_come_back(client):
    with pytest.raises(recency.Overloaded) as caught:
        client.recommend("busy")
    assert caught.value.retry_after_seconds == 0.25


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("NOT_FOUND", recency.NotFound),
        ("FAILED_PRECONDITION", recency.FailedPrecondition),
        ("UNIMPLEMENTED", recency.Unimplemented),
        ("INTERNAL", recency.ServerError),
        ("DEADLINE_EXCEEDED", recency.DeadlineExceeded),
        ("PERMISSION_DENIED", recency.RecencyError),
    ],
)
def test_each_status_has_its_error(client, code, error):
    with pytest.raises(error, match="so it is") as caught:
        client.recommend(code)
    assert type(caught.value) is error
    assert caught.value.code is grpc.StatusCode[code]


def test_feedback_is_sent_again_while_the_server_is_away(client, server):
    server.unavailable = 2
    event = recency.event("u", "i")
    assert client.feedback([event]).consistency_token == "t"
    assert len(server.calls) == 3
    assert {call.events[0].event_id for call in server.calls} == {event.event_id}


def test_nobody_there_is_unavailable():
    with recency.Recency("127.0.0.1:1", timeout_seconds=5) as client, pytest.raises(recency.Unavailable):
        client.recommend("u")


def test_the_channel_takes_no_option_twice():
    assert len({name for name, _ in OPTIONS}) == len(OPTIONS)
