"""Business rules as a file has them: read, refused with their places, and what they do to a catalogue."""

from __future__ import annotations

import pytest

from recency.v1 import item_pb2
from recency_server.attributes import Attributes
from recency_server.rule_clashes import surely_holds
from recency_server.rules import Action, RulesError, RuleSet
from recency_server.rules_file import read_rules
from recency_server.rules_in_force import RulesInForce, misfits

DAY = 86_400 * 1_000_000


def read(text: str) -> RuleSet:
    return read_rules(text.encode(), "rules.toml")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(RulesError) as refused:
        read(text)
    return refused.value.problems


def rule(name: str, says: str, *more: str) -> str:
    return "\n".join(["[[rule]]", f'name = "{name}"', says, *more, ""])


@pytest.fixture
def films() -> Attributes:
    attributes = Attributes()
    for number, (categories, provider) in enumerate([("War", "a"), ("War Drama", "b"), ("Drama", "a"), ("", "")]):
        item = item_pb2.Item(item_id=f"f{number}", categories=categories.split(), provider=provider)
        attributes.put(item.item_id, item)
    return attributes


def test_a_file_says_what_is_pinned_boosted_buried_and_left_out():
    rules = read(
        rule("launch", 'pin = "f1"', "place = 3", "from = 1970-01-02", "until = 1970-01-03T00:00:00Z", 'reason = "new"')
        + rule("war", "boost = 'categories:War'", "by = 0.5")
        + rule("old", 'bury = "release_year < 1950"', "by = 2")
        + rule("recall", "exclude = 'provider = a'")
    )
    pin, boost, bury, exclude = rules.rules
    assert (pin.action, pin.target, pin.place, pin.from_micros, pin.until_micros) == ("pin", "f1", 3, DAY, 2 * DAY)
    assert (pin.reason, pin.line, boost.line) == ("new", 1, 8)
    assert (boost.lift, bury.lift, exclude.lift) == (0.5, -2.0, 0.0)
    assert exclude.action is Action.EXCLUDE
    assert not pin.holds_at(DAY - 1)
    assert pin.holds_at(DAY)
    assert not pin.holds_at(2 * DAY)
    assert read("").rules == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (rule("a", "exclude = 'x > 3 )'"), "rules.toml:3:18: rule 'a': exclude: ')' stands where nothing more"),
        (rule("a", 'exclude = "x = \\"y\\" )"'), "rules.toml:3:22: rule 'a': exclude: ')' stands"),
        (rule("a", 'pin = "i"', "places = 2"), "rules.toml:4:10: rule 'a': places: is not a key of a pin rule"),
        (rule("a", 'pin = "i"', "place = 0"), "rules.toml:4:9: rule 'a': place: must be a whole number from 1"),
        (rule("a", 'boost = "x = 1"'), "rules.toml:1:1: rule 'a': by: must be a number over 0"),
        (rule("a", 'boost = "x = 1"', "by = nan"), "rules.toml:4:6: rule 'a': by: must be a number"),
        (
            rule("a", 'pin = "i"', 'boost = "x = 1"'),
            "rules.toml:1:1: rule 'a': says pin and boost; a rule says exactly one",
        ),
        (rule("", 'pin = "i"'), "rules.toml:2:9: rule number 1: name: must be a text that is not empty"),
        (rule("a", 'pin = "i"', "until = 2026-01-01T00:00:00"), "until: must be a day, or a time with its offset"),
        (rule("a", 'pin = "i"', "from = 2026-01-02", "until = 2026-01-01"), "until: is not after `from`"),
        ('[[rule]]\nname = "a\n', "rules.toml:2:"),
        ("[[rules]]\n", "rules.toml: knows no 'rules'; write each rule under [[rule]]"),
        ("rule = 3", "rules.toml: takes its rules as tables"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, said):
    assert said in "\n".join(problems(text))


def test_every_problem_of_a_file_is_told_at_once():
    assert len(problems(rule("a", 'pin = "i"', "place = -1", "x = 1") + rule("b", "exclude = '('"))) == 3
    assert "the most are" in problems("#" * 300_000)[0]
    assert problems("\n".join(rule(f"r{n}", f'pin = "i{n}"', f"place = {n}") for n in range(1, 203)))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            ('pin = "i"', "place = 1"),
            ('pin = "i"', "place = 2"),
            "pins the item 'i' at the same time as rule 'a' of line 1",
        ),
        (('pin = "i"',), ('pin = "j"',), "pins to place 1 at the same time"),
        (('pin = "i"',), ("exclude = 'x = 1 OR item_id = i'",), "excludes the item 'i', pinned at the same time"),
        (("exclude = 'NOT item_id = j'",), ('pin = "i"',), "pins the item 'i', excluded at the same time"),
        (("boost = 'x=1 y=2'", "by = 1"), ("bury = '(y = 2) AND x = 1'", "by = 1"), "buries what is boosted"),
        (("boost = 'x = 1'", "by = 1"), ("exclude = 'x = 1'",), "excludes what is boosted"),
    ],
)
def test_rules_that_contradict_each_other_are_refused_unless_their_times_part(first, second, said):
    [problem] = problems(rule("a", *first) + rule("b", *second))
    assert said in problem
    assert "rule 'b'" in problem
    parted = rule("a", *first, "until = 2026-01-01") + rule("b", *second, "from = 2026-01-01")
    assert len(read(parted).rules) == 2


def test_a_name_stands_for_one_rule():
    assert (
        "has the name of the rule of line 1"
        in problems(rule("a", 'pin = "i"') + rule("a", 'pin = "j"', "place = 2"))[0]
    )


def test_what_surely_holds_depends_on_the_id_alone():
    def holds(text: str) -> bool | None:
        [one] = read(rule("a", f"exclude = '{text}'")).rules
        assert one.tree is not None
        return surely_holds(one.tree, "i")

    assert [holds(t) for t in ("item_id = i", "item_id != i", "x = 1", "x = 1 OR item_id = i", "x = 1 AND item_id = j")] == [
        True, False, None, True, False,
    ]  # fmt: skip
    assert [holds(t) for t in ("NOT x = 1", "words", "item_id = i AND x = 1", 'item_id = "*"')] == [None] * 4


def test_rules_leave_out_lift_and_pin_while_they_hold(films):
    in_force = RulesInForce(films)
    assert not in_force.effect(0).lifts
    in_force.put(
        read(
            rule("war", "boost = 'categories:War'", "by = 1.5")
            + rule("b", "bury = 'provider = b'", "by = 1", "until = 1970-01-02")
            + rule("gone", "exclude = 'item_id = f3'", "from = 1970-01-02")
            + rule("second", 'pin = "f2"', "place = 2")
            + rule("first", 'pin = "f3"', "place = 1", "until = 1970-01-02")
        )
    )
    early, late = in_force.effect(0), in_force.effect(DAY)
    assert early.lifts == {"f0": 1.5, "f1": 0.5}
    assert late.lifts == {"f0": 1.5, "f1": 1.5, "f3": float("-inf")}
    assert [pin.name for pin in early.pins] == ["first", "second"]
    assert [pin.name for pin in late.pins] == ["second"]
    assert early.excluded is None
    assert late.excluded is not None
    assert late.excluded.fits("f3")
    assert [one.name for one in late.about("f3")] == ["gone"]
    assert [one.name for one in early.about("f2")] == ["second"]
    assert in_force.effect(DAY + 5) is late


def test_an_item_that_comes_falls_under_the_rules_at_once(films):
    in_force = RulesInForce(films)
    in_force.put(read(rule("gone", "exclude = 'provider = a'")))
    before = in_force.effect(0)
    films.put("f9", item_pb2.Item(item_id="f9", provider="a"))
    after = in_force.effect(0).excluded
    assert before.excluded is not None
    assert after is not None
    assert not before.excluded.fits("f9")
    assert after.fits("f9")


def test_a_catalogue_contradicts_rules_that_it_cannot_mean(films):
    rules = read(
        rule("typo", "exclude = 'categorie:War'") + rule("gone", "exclude = 'provider = a'") + rule("p", 'pin = "f0"')
    )
    typo, pin = misfits(rules, films)
    assert "line 1: rule 'typo': exclude: at character 0: no item has an attribute of this name; did you mean" in typo
    assert pin == "line 7: rule 'p': pins the item 'f0', which rule 'gone' excludes at the same time"
    assert misfits(rules, Attributes()) == []
    in_force = RulesInForce(films)
    in_force.put(rules)
    [(blind, why)] = in_force.effect(0).blind
    assert (blind.name, "did you mean" in why) == ("typo", True)
