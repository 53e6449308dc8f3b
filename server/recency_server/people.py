"""What an answer makes of who is asked for: a profile that steers while there is little history, and a maturity limit.

The profile (attributes, in words or not) is encoded by the language model as items are, and steers as the words of a query
do. It speaks for somebody of whom little is known otherwise: its weight falls with every event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recency_server.candidates import Aim
from recency_server.encode import Encoder
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.limits import MAX_MATURITY
from recency_server.reading import User
from recency_server.release import Release
from recency_server.steering import steer_by_text


@dataclass(frozen=True, slots=True)
class PeopleConfig:
    """maturity_limit   the highest maturity of items for people who have no limit of their own, unknown ones too, 0..100
    profile_weight   how much a profile weighs against a history before the first event: 0 not at all, 1 alone
    profile_events   with so many events in the history it weighs nothing any more
    """

    maturity_limit: int = MAX_MATURITY
    profile_weight: float = 0.1
    profile_events: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.maturity_limit <= MAX_MATURITY:
            raise ValueError(f"people.maturity_limit is {self.maturity_limit}; it must be 0..{MAX_MATURITY}")
        if not 0.0 <= self.profile_weight <= 1.0:
            raise ValueError(f"people.profile_weight is {self.profile_weight}; it must be 0..1")
        if self.profile_events < 0:
            raise ValueError(f"people.profile_events is {self.profile_events}; it must be 0 or more")

    def weight_after(self, events: int) -> float:
        """What a profile weighs beside a history of so many events."""
        if events >= self.profile_events:
            return 0.0
        return self.profile_weight * (1.0 - events / self.profile_events)


async def with_profile(
    aim: Aim, release: Release | None, user: User, encoder: Encoder, config: PeopleConfig, timeout_seconds: float
) -> Aim:
    """The aim, steered by the user's profile as well where that has a say. Words that cannot be read now are left out, and
    the answer says so."""
    profile = user.profile
    # A history as long as the models read it is all the history there can be.
    if (
        release is None
        or not profile.text
        or not profile.personal
        or user.events_used >= release.manifest.history_length
    ):
        return aim
    weight = config.weight_after(user.events_used)
    if weight <= 0.0:
        return aim
    vector = profile.vector
    if vector is None or profile.text_encoder != release.manifest.text_encoder_digest:
        # Stored by the time of another language model, or while Triton was away.
        try:
            vector = await encoder.encode_query(release, profile.text, timeout_seconds)
        except (Unavailable, Overloaded, TooLate) as error:
            return replace(aim, degraded=(*aim.degraded, f"profile: it is not read ({error})"))
    steer_D = steer_by_text(release, vector, weight)
    return replace(
        aim,
        steer_D=steer_D if aim.steer_D is None else aim.steer_D + steer_D,
        own_D=steer_D if aim.own_D is None else aim.own_D + steer_D,
    )
