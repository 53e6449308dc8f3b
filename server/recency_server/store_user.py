"""Stores a user: what the update mask names of them, with their profile read by the language model."""

from __future__ import annotations

import asyncio

from recency.v1 import user_pb2
from recency_features.text import user_text
from recency_server.errors import Overloaded, TooLate, Unavailable
from recency_server.parts import Parts
from recency_server.query import Deadline
from recency_server.validate import refuse
from recency_server.validate_user import ATTRIBUTE, attribute_problems, replaces_all, upsert_problems
from recency_store.errors import StateChanged
from recency_store.records import StoredUser

# Two who store the same user at once are rare, and the second reads again.
_TRIES = 5


async def store_user(request: user_pb2.UpsertUserRequest, parts: Parts, deadline: Deadline) -> int:
    """Stores the user and answers the number of the change, which is followed here by then."""
    refuse(upsert_problems(request))
    store, in_thread = parts.store, asyncio.get_running_loop().run_in_executor
    for _ in range(_TRIES):
        old = await in_thread(parts.threads, store.get_user, request.user.user_id)
        user = changed(old, request)
        refuse(attribute_problems(user))
        vector, text_encoder = await _encoded(user, old, parts, deadline)
        revision = old.revision if old is not None else 0
        if not deadline.remaining_seconds():
            raise TooLate("the deadline passed before the user was written; nothing was stored")

        def put(
            user: user_pb2.User = user, vector: bytes = vector, encoder: str = text_encoder, revision: int = revision
        ) -> int:
            return store.put_user(user, parts.clock(), text_vector=vector, text_encoder=encoder, expected=revision)

        try:
            sequence = await in_thread(parts.threads, put)
        except StateChanged:
            continue
        parts.follower.nudge()
        await parts.follower.catch_up(sequence, deadline.remaining_seconds())
        return sequence
    raise Unavailable("others stored this user again and again meanwhile; nothing was changed, send it again")


def changed(old: StoredUser | None, request: user_pb2.UpsertUserRequest) -> user_pb2.User:
    """The user as they will be: all of the request's, or what its mask names over what there was. A field that is named
    and not given is cleared."""
    new, paths = request.user, request.update_mask.paths
    user = user_pb2.User()
    if replaces_all(paths):
        user.CopyFrom(new)
        return user
    if old is not None:
        user.CopyFrom(old.user())
    user.user_id = new.user_id
    for path in paths:
        if path.startswith(ATTRIBUTE):
            _change_attribute(user, new, path.removeprefix(ATTRIBUTE))
        elif path in ("attributes", "maturity_limit", "consent"):
            _change(user, new, path)
        elif path.startswith("consent."):
            _change(user.consent, new.consent, path.removeprefix("consent."))
    return user


def _change(target: user_pb2.User | user_pb2.Consent, source: user_pb2.User | user_pb2.Consent, name: str) -> None:
    target.ClearField(name)
    if source.HasField(name):
        value = getattr(source, name)
        if isinstance(value, (bool, int)):
            setattr(target, name, value)
        else:
            getattr(target, name).CopyFrom(value)


def _change_attribute(user: user_pb2.User, new: user_pb2.User, name: str) -> None:
    if name in new.attributes.fields:
        user.attributes.fields[name].CopyFrom(new.attributes.fields[name])
    elif name in user.attributes.fields:
        del user.attributes.fields[name]


async def _encoded(user: user_pb2.User, old: StoredUser | None, parts: Parts, deadline: Deadline) -> tuple[bytes, str]:
    """The raw text vector of the profile, and the model that made it. A profile that has not changed keeps its vector; one
    that cannot be read now is read when it is needed: consent and limits must not wait for Triton."""
    text, digest = user_text(user), parts.encoder.digest
    if not text or digest is None:
        return b"", ""
    if old is not None and old.text_vector and old.text_encoder == digest and user_text(old.user()) == text:
        return old.text_vector, old.text_encoder
    try:
        encoded = await parts.encoder.encode([text], deadline.remaining_seconds() / 2)
    except (Unavailable, Overloaded, TooLate):
        return b"", ""
    return encoded.vectors[0].astype("<f4").tobytes(), encoded.text_encoder
