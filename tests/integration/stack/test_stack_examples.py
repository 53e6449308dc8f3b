"""The example that any catalogue of films will do for, on the shared stack. test_examples_whole.py runs them all."""

import pytest

from recency import Recency
from video.ask import ask


def test_an_evening_of_the_video_example_is_told(here: Recency, capsys: pytest.CaptureFixture[str]) -> None:
    ask(here)
    told = capsys.readouterr().out
    assert "Because you liked Aladdin" in told
    assert "of 8 are new" in told
    assert " is not in it" in told, "what was disliked is gone"
    assert "degraded" not in told
    genres = told.rpartition("genres: ")[2].split()
    assert int(genres[0]) < int(genres[2]), "diversity brings more genres"
