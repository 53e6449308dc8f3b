"""One Triton has one owner."""

import pytest
from triton_stack import TritonStack, clock

from recency_inference.agent import Agent, AgentConfig
from recency_inference.errors import NotOwner
from recency_inference.parts import Shelf
from recency_inference.repository import Repository, find_model_repository


def test_a_second_agent_for_the_same_triton_is_refused_and_changes_nothing(triton: TritonStack) -> None:
    folder = triton.data / "triton"
    repository = Repository(folder / "repository", folder / "other-staging", find_model_repository(None))
    second = Agent(triton.target, triton.store, Shelf(triton.releases), repository, clock, AgentConfig("somebody else"))
    try:
        with pytest.raises(NotOwner, match="another agent owns"):
            second.step()
    finally:
        second.close()
    assert triton.is_ready(1)
