"""What the gateway writes about itself: one JSON object a line. No user's text and no user's id is ever in it."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure_logging(level: str = "info", sink: TextIO | None = None) -> None:
    """Makes every structlog logger of this process write JSON lines to `sink` (default: standard error)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sink or sys.stderr),
        cache_logger_on_first_use=True,
    )


class RequestLog:
    """Which requests get a line: those that failed, were slow or degraded always, of the rest one in `one_in`.

    A caller's mistake is logged without its message, which can name what the caller sent.
    """

    def __init__(self, one_in: int, slow_seconds: float) -> None:
        self._log: Any = structlog.get_logger("recency.server")
        self._one_in = one_in
        self._slow_seconds = slow_seconds
        self._until_next = one_in

    def finished(self, method: str, seconds: float) -> None:
        """A request that was answered."""
        if seconds >= self._slow_seconds:
            self._log.warning("slow request", method=method, milliseconds=round(seconds * 1e3, 2))
            return
        self._until_next -= 1
        if self._until_next <= 0:
            self._until_next = self._one_in
            self._log.info("request", method=method, milliseconds=round(seconds * 1e3, 2), one_in=self._one_in)

    def failed(self, method: str, code: str, seconds: float) -> None:
        """A request that was refused or broke."""
        self._log.warning("failed request", method=method, code=code, milliseconds=round(seconds * 1e3, 2))

    def degraded(self, method: str, causes: tuple[str, ...], recommendation_id: str) -> None:
        """An answer that is less than was asked for."""
        self._log.warning("degraded answer", method=method, causes=causes, recommendation_id=recommendation_id)
