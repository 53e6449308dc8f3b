"""Filter text → a tree, by the grammar of AIP-160 (https://google.aip.dev/160).

As there, OR binds closer than AND, and terms side by side are ANDed; NOT and `-` negate; a value in parentheses spreads
(`categories:(Drama OR War)`); a term without an operator looks for its text wherever an item has text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from recency_server.limits import FILTER_DEPTH

_GRAMMAR = r"""
    start: [expression]
    expression: sequence (_AND sequence)*
    sequence: factor+
    factor: term (_OR term)*
    ?term: (_NOT | _MINUS) simple -> negated
        | simple
    ?simple: restriction
        | "(" expression ")"
    restriction: member [COMPARATOR arg]
    ?arg: value
        | "(" all_of ")"
    all_of: any_of (_AND any_of)*
    any_of: one_of (_OR one_of)*
    ?one_of: (_NOT | _MINUS) value -> negated
        | value
    member: name ("." name)*
    ?name: WORD | STRING
    value: TIME | (NUMBER | WORD | STRING) ("." (NUMBER | WORD))*

    _AND.3: /AND(?![^\s()<>=!:"',.])/
    _OR.3: /OR(?![^\s()<>=!:"',.])/
    _NOT.3: /NOT(?![^\s()<>=!:"',.])/
    _MINUS: "-"
    COMPARATOR: "<=" | ">=" | "!=" | "<" | ">" | "=" | ":"
    STRING: /"(\\.|[^"\\])*"/ | /'(\\.|[^'\\])*'/
    TIME.4: /\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?(?![^\s()])/
    NUMBER.2: /-?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?(?![^\s()<>=!:"',])/
    WORD: /(?!(AND|OR|NOT)(?![^\s()<>=!:"',.]))[^\s()<>=!:"',.\-][^\s()<>=!:"',.]*/
    %ignore /\s+/
"""
_PARSER = Lark(_GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=False)
# What a parser expects, in words.
_EXPECTED = {
    "RPAR": "a closing parenthesis",
    "LPAR": "an opening parenthesis",
    "COMPARATOR": "one of = != < <= > >= :",
    "WORD": "a name or value",
    "STRING": "a quoted text",
    "NUMBER": "a number",
}


class FilterError(Exception):
    """A filter that cannot be read or does not fit the catalogue: what is wrong, and at which character (from 0)."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"at character {position}: {reason}")
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written, where it stands, and whether it was in quotes."""

    text: str
    position: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """`path operator value`; the path as written, with dots."""

    path: str
    operator: str
    value: Literal
    position: int


@dataclass(frozen=True, slots=True)
class Words:
    """A term without an operator."""

    text: Literal


@dataclass(frozen=True, slots=True)
class Not:
    """True where the part is not."""

    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    """True where all parts are."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where a part is."""

    parts: tuple[Filter, ...]


Filter = Compare | Words | Not | And | Or


# Callers ask with the same few filters again and again, and each is read to be checked and to be answered.
@lru_cache(256)
def parse_filter(text: str) -> Filter | None:
    """The tree of a filter; None for an empty one. FilterError points at the character that does not fit."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth > FILTER_DEPTH:
            raise FilterError(f"nests deeper than {FILTER_DEPTH} parentheses; write it flatter", at)
    try:
        found: Filter | None = _Tree().transform(_PARSER.parse(text))
    except UnexpectedInput as error:
        raise _said(error, text) from None
    return found


def _said(error: UnexpectedInput, text: str) -> FilterError:
    position = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(text)
    if isinstance(error, UnexpectedToken):
        if error.token.type == "$END":
            position = len(text)
            found = "the filter ends"
        else:
            found = f"{str(error.token)[:40]!r} stands"
        expected = sorted({_EXPECTED[name] for name in error.expected if name in _EXPECTED})
        return FilterError(f"{found} where {' or '.join(expected) or 'nothing more'} is expected", position)
    if isinstance(error, UnexpectedCharacters) and text[position] in "\"'":
        return FilterError("a quote that is not closed", position)
    return FilterError(f"{text[position : position + 1]!r} is not expected here", position)


class _Tree(Transformer[Token, Any]):
    """Lark's tree → ours."""

    def start(self, parts: list[Any]) -> Any:
        return parts[0] if parts else None

    def expression(self, parts: list[Any]) -> Any:
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    sequence = expression
    all_of = expression

    def factor(self, parts: list[Any]) -> Any:
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    any_of = factor

    def negated(self, parts: list[Any]) -> Not:
        return Not(parts[0])

    def value(self, parts: list[Token]) -> Literal:
        first = parts[0]
        assert first.start_pos is not None
        quoted = first.type == "STRING"
        return Literal(".".join(_unquoted(part) for part in parts), first.start_pos, quoted)

    def member(self, parts: list[Token]) -> Literal:
        return self.value(parts)

    def restriction(self, parts: list[Any]) -> Any:
        member: Literal = parts[0]
        if len(parts) == 1:
            return Words(member)
        return _spread(member, str(parts[1]), parts[2])


def _spread(member: Literal, operator: str, argument: Any) -> Filter:
    """The comparison with each value of a parenthesis."""
    if isinstance(argument, Literal):
        return Compare(member.text, operator, argument, member.position)
    if isinstance(argument, Not):
        return Not(_spread(member, operator, argument.part))
    parts = tuple(_spread(member, operator, part) for part in argument.parts)
    return And(parts) if isinstance(argument, And) else Or(parts)


def _unquoted(token: Token) -> str:
    if token.type != "STRING":
        return str(token)
    inner, out, at = str(token)[1:-1], [], 0
    while at < len(inner):
        if inner[at] == "\\":
            at += 1
        out.append(inner[at])
        at += 1
    return "".join(out)
