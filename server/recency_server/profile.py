"""What was stored about a person beyond their events, as the request path reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recency_features.text import user_text
from recency_store.records import StoredUser


@dataclass(frozen=True, slots=True)
class Profile:
    """personal        whether their events and this profile may shape their answers
    maturity_limit  the highest maturity of items that they may see; None as the deployment is configured
    text            their attributes in words, as the language model reads them; `vector` is the raw text vector that the
                    model `text_encoder` made of it, None where nobody has yet
    """

    personal: bool = True
    maturity_limit: int | None = None
    text: str = ""
    vector: npt.NDArray[np.float32] | None = None
    text_encoder: str = ""


UNKNOWN = Profile()


def profile_of(stored: StoredUser | None) -> Profile:
    """A stored user's profile."""
    if stored is None:
        return UNKNOWN
    user = stored.user()
    return Profile(
        personal=not user.consent.HasField("personalization") or user.consent.personalization,
        maturity_limit=user.maturity_limit if user.HasField("maturity_limit") else None,
        text=user_text(user),
        vector=np.frombuffer(stored.text_vector, dtype="<f4") if stored.text_vector else None,
        text_encoder=stored.text_encoder,
    )
