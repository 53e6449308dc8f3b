"""Ports: whether they are free, and finding ones that are."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from typing import NamedTuple

from recency_inference.errors import PortTaken


class Wanted(NamedTuple):
    """A port (0: any free one), what it is for, and the setting that names it."""

    port: int
    purpose: str
    setting: str


def claim(host: str, wanted: Sequence[Wanted]) -> list[int]:
    """The ports, all different, if nobody listens there; PortTaken names what one was for and what to change.

    They are free when this returns and not held: whoever binds them next may still lose a race.
    """
    with contextlib.ExitStack() as held:
        return [_claim(host, one, held) for one in wanted]


def _claim(host: str, wanted: Wanted, held: contextlib.ExitStack) -> int:
    probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    # A server that has just ended leaves connections behind that block a plain bind.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((host, wanted.port))
    except OSError as error:
        raise PortTaken(
            f"{host}:{wanted.port}, for {wanted.purpose}, cannot be used ({error.strerror}); "
            f"end what listens there, or set {wanted.setting} to another port (0: any free one)"
        ) from error
    return int(probe.getsockname()[1])
