"""`recency recommend --interactive`: a session in the terminal, in which each line makes the slate anew."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recency import Event, Recency
    from recency.calls import RecommendOptions

_ASK = "a number clicks that place, words ask for something, an empty line ends"


def converse(client: Recency, user: str, options: RecommendOptions, *, as_json: bool) -> None:
    """Shows the slate, reads a line, and so on. What somebody unknown clicks is not stored, and counts all the same."""
    from recency import event
    from recency_cli.screen import console
    from recency_cli.slates import print_slate

    unknown: list[Event] = []
    with client.session(user, **options) as session:
        while True:
            slate = session.newest()
            print_slate(slate, f"for user {user}" if user else "for somebody unknown", as_json)
            if not as_json:
                console().print(_ASK, style="dim")
            said = sys.stdin.readline().strip()
            if not said:
                return
            if not (said.isdecimal() and 1 <= int(said) <= len(slate.item_ids)):
                options["query"] = said
                session.ask(**options)
                continue
            clicked = event(user, slate.item_ids[int(said) - 1], recommendation_id=slate.recommendation_id)
            if user:
                session.send([clicked])
            else:
                unknown.append(clicked)
                options["recent_events"] = unknown[-500:]
                session.ask(**options)
