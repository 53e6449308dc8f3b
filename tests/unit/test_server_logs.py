"""What the gateway logs about requests, and what it never does."""

from __future__ import annotations

import io
import json

import structlog
from structlog.testing import capture_logs

from recency_server.logs import RequestLog, configure_logging


def test_of_the_requests_that_went_well_one_in_so_many_is_logged() -> None:
    with capture_logs() as lines:
        log = RequestLog(one_in=10, slow_seconds=1.0)
        for _ in range(35):
            log.finished("Service/Method", 0.001)
    assert [line["event"] for line in lines] == ["request"] * 3


def test_failed_slow_and_degraded_requests_are_always_logged() -> None:
    with capture_logs() as lines:
        log = RequestLog(one_in=1_000_000, slow_seconds=0.25)
        log.finished("Service/Method", 0.3)
        log.failed("Service/Method", "INVALID_ARGUMENT", 0.001)
        log.degraded("Service/Method", ("model",), "r-1")
    assert [line["event"] for line in lines] == ["slow request", "failed request", "degraded answer"]


def test_a_line_is_one_json_object() -> None:
    sink = io.StringIO()
    before = structlog.get_config()
    try:
        configure_logging("info", sink)
        RequestLog(one_in=1, slow_seconds=1.0).finished("Service/Method", 0.002)
        structlog.get_logger("recency.server").debug("not at this level")
    finally:
        structlog.configure(**before)
    (line,) = sink.getvalue().splitlines()
    fields = json.loads(line)
    assert (fields["event"], fields["level"], fields["milliseconds"]) == ("request", "info", 2.0)
