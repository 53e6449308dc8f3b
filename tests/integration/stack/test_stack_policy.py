"""Business rules, caps, the audit log and the exposure report over the whole stack."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from served_stack import CommandProcess, ServedStack, eventually, wait_until_undegraded

from recency import Promotion, Recency
from recency_cli.errors import UsageError
from recency_store.records import AuditEntry

USER = "1"


@dataclass
class Ruled:
    """A gateway of its own with a rules file and caps, over the shared store."""

    gateway: CommandProcess
    client: Recency
    stack: ServedStack
    file: Path

    def rules(self, *said: str) -> None:
        text = "".join(f'[[rule]]\nname = "rule {number}"\n{lines}\n' for number, lines in enumerate(said, 1))
        self.file.write_text(text)

    def show(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://{self.gateway.facts['http']}/policy", timeout=5.0) as answer:
            facts: dict[str, Any] = json.load(answer)
        return facts


@pytest.fixture(scope="module")
def ruled(stack: ServedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ruled]:
    file = tmp_path_factory.mktemp("rules") / "rules.toml"
    file.write_text("")
    variables = {"RECENCY_POLICY_RULES": str(file), "RECENCY_POLICY_RULES_SECONDS": "0.05"}
    with stack.gateway("ruled", **variables) as gateway, Recency(gateway.address) as client:
        wait_until_undegraded(client)
        yield Ruled(gateway, client, stack, file)


def _ids(slate) -> list[str]:
    return [place.item_id for place in slate.recommendations]


def test_rules_take_effect_while_it_serves_in_every_path(ruled: Ruled):
    client = ruled.client
    plain = _ids(client.recommend(USER, page_size=30))
    top, pinned = plain[0], plain[25]
    ruled.rules(
        f"exclude = 'item_id = \"{top}\"'", f'pin = "{pinned}"\nplace = 2', "boost = 'categories:Horror'\nby = 20"
    )
    eventually(lambda: len(ruled.show()["rules"]) == 3, lambda: "three rules in force")
    slate = client.recommend(USER, page_size=10)
    assert top not in _ids(slate)
    assert _ids(slate)[1] == pinned
    assert (slate.recommendations[1].promotion, slate.recommendations[1].source.name) == ("rule 2", "PROMOTION")
    others = [item_id for item_id in _ids(slate) if item_id != pinned]
    assert all("Horror" in client.get_item(item_id).categories for item_id in others[:3])
    assert all(0.0 < (place.probability or 0.0) < 1.0 for place in slate.recommendations)

    second = client.recommend(USER, page_size=10, page_token=slate.next_page_token)
    assert not {top, pinned} & set(_ids(second))
    assert _ids(client.recommend(USER, candidate_item_ids=[top, plain[3]])) == [plain[3]]
    promoted = client.recommend(USER, promotions=[Promotion("p", f'item_id = "{top}"', 1.0)])
    assert top not in _ids(promoted)
    assert top not in _ids(client.recommend(USER, filter=f'item_id = "{top}" OR item_id = "{plain[4]}"'))
    with Recency(ruled.stack.here.address) as unruled:
        assert top in _ids(unruled.recommend(USER, page_size=30))


def test_a_broken_file_leaves_the_rules_before_it_in_force_and_everybody_can_see_why(ruled: Ruled):
    ruled.rules("exclude = 'categories:Drama'")
    eventually(lambda: len(ruled.show()["rules"]) == 1, lambda: "one rule in force")
    ruled.rules("exclude = 'genre:Drama'")
    eventually(lambda: ruled.show()["problems"], lambda: "the file refused")
    facts = ruled.stack.folder.run("policy", "show", "--address", str(ruled.gateway.facts["http"]))
    assert "no item has an attribute of this name" in facts["problems"][0]
    assert [rule["target"] for rule in facts["rules"]] == ["categories:Drama"]
    for item_id in _ids(ruled.client.recommend(USER, page_size=20)):
        assert "Drama" not in ruled.client.get_item(item_id).categories
    command = ruled.stack.folder.command("policy", "check", str(ruled.file))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == UsageError.code
    assert "line 1: rule 'rule 1': exclude: at character 0" in json.loads(done.stdout)["error"]
    ruled.rules()
    assert ruled.stack.folder.run("policy", "check", str(ruled.file))["rules"]["pin"] == 0
    eventually(lambda: not ruled.show()["rules"], lambda: "no rules in force")


def test_rules_that_contradict_each_other_are_refused_whole_by_line(ruled: Ruled):
    ruled.rules("exclude = 'categories:Drama'")
    eventually(lambda: len(ruled.show()["rules"]) == 1, lambda: "one rule in force")

    def refused(why: str) -> bool:
        return any(why in problem for problem in ruled.show()["problems"])

    for first, second, why in (
        ('pin = "50"', 'pin = "56"', "rules.toml:4: rule 'rule 2': pins to place 1 at the same time"),
        ('pin = "50"', "exclude = 'item_id = 50'", "excludes the item '50', pinned"),
        ("boost = 'categories:War'\nby = 1", "bury = 'categories:War'\nby = 1", "buries what is boosted"),
    ):
        ruled.rules(first, second)
        eventually(partial(refused, why), partial(str, ruled.show()["problems"]))
        assert [rule["target"] for rule in ruled.show()["rules"]] == ["categories:Drama"]
    ruled.rules()
    eventually(lambda: not ruled.show()["rules"], lambda: "no rules in force")


def test_every_decision_is_in_the_audit_log(ruled: Ruled):
    [item_id] = _ids(ruled.client.recommend(USER, page_size=1))
    ruled.client.hide_items([item_id], reason="under review")
    assert item_id not in _ids(ruled.client.recommend(USER, page_size=10))
    ruled.client.unhide_items([item_id], reason="it is fine")
    entries = ruled.stack.folder.run("audit", "list", "--subject", item_id)
    assert [(e["action"], e["reason"], e["actor"]) for e in entries[:2]] == [
        ("unhide", "it is fine", "api"),
        ("hide", "under review", "api"),
    ]
    ruled.rules(f'pin = "{item_id}"')
    with ruled.stack.folder.opened() as store:

        def newest() -> AuditEntry:
            return store.audit(1, action="rules")[0]

        eventually(lambda: newest().reason.endswith(": 1 pin"), lambda: newest().reason)
        assert newest().subject == str(ruled.file)
    ruled.rules()


def test_caps_hold_over_the_stack_and_say_when_a_slate_is_short(stack: ServedStack):
    with stack.gateway("capped", RECENCY_POLICY_CATEGORY_CAP="2") as gateway, Recency(gateway.address) as client:
        wait_until_undegraded(client, page_size=3)
        for asked in ({}, {"diversity": 0.5}, {"exploration": 0.5}):
            slate = client.recommend(USER, page_size=8, **asked)
            kinds = Counter(c for item_id in _ids(slate) for c in client.get_item(item_id).categories)
            assert max(kinds.values()) <= 2
            assert len(_ids(slate)) == 8 or "caps: " in slate.degraded_reason
        long = client.recommend(USER, page_size=100)
        assert len(_ids(long)) < 100
        assert f"caps: {len(_ids(long))} of 100 places" in long.degraded_reason


def test_the_exposure_report_tells_who_is_shown_how_much(ruled: Ruled, tmp_path: Path):
    slate = ruled.client.recommend(USER, page_size=10)
    with ruled.stack.folder.opened() as store:
        eventually(lambda: store.get_slate(slate.recommendation_id), lambda: "the slate in the log")
    picture = tmp_path / "exposure.png"
    report = ruled.stack.folder.run(
        "report", "exposure", "--by", "categories", "--shown", "slates", "--plot", str(picture)
    )
    assert picture.stat().st_size > 10_000
    assert sum(group["exposure_share"] for group in report["groups"]) == pytest.approx(1.0)
    assert sum(group["catalogue_share"] for group in report["groups"]) == pytest.approx(1.0)
    assert 0.0 < report["gini"] < 1.0
    shown = {c for item_id in _ids(slate) for c in ruled.client.get_item(item_id).categories}
    assert all(group["exposure_share"] > 0.0 for group in report["groups"] if group["name"] in shown)
