"""Users, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from recency.types import Event


@dataclass(frozen=True, slots=True)
class Consent:
    """What a user agreed to; None is not said, and means yes."""

    personalization: bool | None = None
    training: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user. The attribute `profile` is them in words. The last two are the server's to fill."""

    user_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    consent: Consent = Consent()
    maturity_limit: int | None = None
    create_time: datetime | None = None
    update_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownUser:
    """What is known of a user, with their newest events, newest last."""

    user: User
    history: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class ServedSlate:
    """A slate that a user was shown, while it is kept."""

    recommendation_id: str
    answer_time: datetime | None
    release: int
    item_ids: tuple[str, ...]
    labels: Mapping[str, str]
    context_json: str


@dataclass(frozen=True, slots=True)
class UserStored:
    """The user is stored."""

    consistency_token: str


@dataclass(frozen=True, slots=True)
class Erased:
    """The user is erased; `audit_id` names the record of it."""

    consistency_token: str
    erased_events: int
    audit_id: str
