"""What can go wrong in the gateway, classed by what the caller does next.

ServerError
├── InvalidRequest     fix the request: which fields, and what is wrong with each     INVALID_ARGUMENT
├── NotFound           fix the request: there is no such item, user or release        NOT_FOUND
├── NotBuilt           leave the field out: this version does not have it yet         UNIMPLEMENTED
├── WrongState         look at the release first: it is not in a state for that       FAILED_PRECONDITION
├── StaleRefused       retry, or ask without strict consistency                       FAILED_PRECONDITION
├── Overloaded         wait, then retry                                               RESOURCE_EXHAUSTED
├── TooLate            the deadline has passed; ask with a longer one                 DEADLINE_EXCEEDED
├── Unavailable        retry: a part is away                                          UNAVAILABLE
│   └── NoRelease      publish a release first (`recency export bootstrap`)           UNAVAILABLE
├── AddressTaken       stop what listens there, or configure another address         (at the start only)
└── ReleaseRefused     report: the release cannot serve, the old one goes on          (never leaves the gateway)
"""

from __future__ import annotations

from dataclasses import dataclass


class ServerError(Exception):
    """Anything the gateway refuses or cannot do."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request, as a path such as `events[3].event_time`, and what is wrong with it."""

    field: str
    description: str


class InvalidRequest(ServerError):
    """The request is malformed; nothing was changed."""

    def __init__(self, *violations: Violation) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = violations


class NotFound(ServerError):
    """What the request names is not there."""


class NotBuilt(ServerError):
    """The request uses something that the API has and this version does not."""


class WrongState(ServerError):
    """A release cannot be moved as asked, because of what it does now."""


class StaleRefused(ServerError):
    """A strict request whose answer would not be as fresh as it asked for."""


class Overloaded(ServerError):
    """A bounded queue is full."""


class TooLate(ServerError):
    """The caller's deadline passed before there was an answer."""


class Unavailable(ServerError):
    """A part that this needs (Triton, the store) does not answer."""


class NoRelease(Unavailable):
    """There is no live release yet."""


class ReleaseRefused(ServerError):
    """A release that is active in the store cannot serve here; the message says why."""


class AddressTaken(ServerError):
    """The gateway cannot listen where it is told to."""
