"""Brings a rules file into force, and every change of it while the gateway serves. A state of the file that is broken, or
that contradicts itself or the catalogue, changes nothing: what was in force stays, and the log, the metrics, `/policy` and
the audit log say why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import structlog

from recency_server.attributes import Attributes
from recency_server.counters import Counters
from recency_server.policy_config import PolicyConfig
from recency_server.query import Clock
from recency_server.rules import Action, Rule, RulesError, RuleSet, digest_of
from recency_server.rules_file import read_rules
from recency_server.rules_in_force import RulesInForce, misfits
from recency_store.errors import StoreError
from recency_store.protocol import Store

_log = structlog.get_logger("recency.server")
# A file that is being written has another size or time a moment later.
_SETTLED_SECONDS = 0.05
TAKEN, REFUSED = "rules", "rules-refused"


class RulesWatch:
    """The rules file of a gateway, and what became of its newest state."""

    def __init__(
        self,
        config: PolicyConfig,
        attributes: Attributes,
        store: Store,
        threads: Executor,
        counters: Counters,
        clock: Clock,
        gateway_id: str,
    ) -> None:
        self._path = config.rules
        self._seconds = config.rules_seconds
        self.in_force = RulesInForce(attributes)
        self._store = store
        self._threads = threads
        self._counters = counters
        self._clock = clock
        self._gateway_id = gateway_id
        self._looked_at: tuple[int, ...] = ()
        self._tried = ""
        # What the audit log has not taken yet: (action, reason, when).
        self._unsaid: list[tuple[str, str, int]] = []
        # Called when other rules come into force.
        self.on_change: list[Callable[[], None]] = []
        # Why the newest state of the file is not in force; empty where it is.
        self.problems: tuple[str, ...] = ()
        self.taken_micros = 0

    def open(self) -> None:
        """Reads the file before anything is answered. RulesError where it cannot come into force: a gateway that does not
        know its rules does not start. What only the catalogue contradicts is no reason: it may be empty still."""
        if self._path is None:
            return
        try:
            content = self._path.read_bytes()
            self._looked_at = _stamp(self._path)
        except OSError as error:
            raise RulesError([f"{self._path}: cannot be read ({error.strerror or error})"]) from error
        self._tried = digest_of(content)
        self._take(read_rules(content, self._path.name))
        for problem in misfits(self.in_force.rules, self.in_force.attributes):
            _log.warning("a business rule does not fit the catalogue", file=self._path.name, problem=problem)

    async def run(self) -> None:
        """Looks at the file until cancelled."""
        if self._path is None:
            # Nothing to look at: work that ends is started again.
            await asyncio.Event().wait()
        while True:
            await self.look()
            await asyncio.sleep(self._seconds)

    async def look(self) -> None:
        """Looks once, and takes the file in where it has changed."""
        assert self._path is not None
        await self._say()
        try:
            stamp = _stamp(self._path)
            if stamp == self._looked_at:
                return
            content = await asyncio.get_running_loop().run_in_executor(self._threads, self._path.read_bytes)
            await asyncio.sleep(_SETTLED_SECONDS)
            if _stamp(self._path) != stamp:
                return
        except OSError as error:
            if not self.problems:
                self._refuse([f"{self._path.name}: cannot be read ({error.strerror or error})"], "")
            self._looked_at = ()
            return
        self._looked_at = stamp
        digest = digest_of(content)
        if digest != self._tried or self.problems:
            self._tried = digest
            self._try(content, self._path.name)
            await self._say()

    def _try(self, content: bytes, file: str) -> None:
        try:
            rules = read_rules(content, file)
            if problems := misfits(rules, self.in_force.attributes):
                raise RulesError([f"{file}: {problem}" for problem in problems])
        except RulesError as error:
            self._refuse(error.problems, digest_of(content))
            return
        self._take(rules)

    def _take(self, rules: RuleSet) -> None:
        self.in_force.put(rules)
        self.problems = ()
        self.taken_micros = self._clock()
        self._counters.rule_loads += 1
        counted = ", ".join(f"{number} {action}" for action, number in counts(rules.rules).items() if number)
        self._unsaid.append((TAKEN, f"sha256 {rules.digest}: {counted or 'no rules'}", self.taken_micros))
        _log.info("business rules in force", digest=rules.digest, rules=counts(rules.rules))
        for listener in self.on_change:
            listener()

    def _refuse(self, problems: Sequence[str], digest: str) -> None:
        self.problems = tuple(problems)
        self._counters.rule_refusals += 1
        self._unsaid.append((REFUSED, f"sha256 {digest or 'none'}: {problems[0]}", self._clock()))
        _log.error("the rules file is refused; the rules before it stay in force", problems=list(problems))

    async def _say(self) -> None:
        """Writes to the audit log what it has not taken yet; a store that is away is tried again."""
        assert self._path is not None
        loop = asyncio.get_running_loop()
        while self._unsaid:
            action, reason, micros = self._unsaid[0]
            try:
                await loop.run_in_executor(self._threads, self._append, action, reason, micros)
            except StoreError:
                return
            self._unsaid.pop(0)

    def _append(self, action: str, reason: str, micros: int) -> None:
        """Who: the owner of the file, as far as this machine knows, at which gateway."""
        assert self._path is not None
        try:
            owner = self._path.owner()
        except (OSError, KeyError):
            owner = "unknown"
        actor = f"{owner} at {self._gateway_id}"
        self._store.append_audit(action, str(self._path), reason, micros, actor=actor, unless_said=action == TAKEN)

    def facts(self) -> dict[str, Any]:
        """What `/policy` answers: the rules, which of them hold now, and why a newer state of the file does not."""
        now = self._clock()
        effect = self.in_force.effect(now)
        blind = {rule.name: why for rule, why in effect.blind}
        return {
            "file": str(self._path) if self._path is not None else "",
            "digest": self.in_force.rules.digest,
            "taken_micros": self.taken_micros,
            "problems": list(self.problems),
            "rules": [_facts(rule, now, blind.get(rule.name, "")) for rule in self.in_force.rules.rules],
        }


def counts(rules: Sequence[Rule]) -> dict[str, int]:
    """How many rules there are of each action."""
    return {action.value: sum(rule.action is action for rule in rules) for action in Action}


def _facts(rule: Rule, now_micros: int, blind: str) -> dict[str, Any]:
    ever = Rule("", rule.action, "")
    return {
        "name": rule.name,
        "action": rule.action.value,
        "target": rule.target,
        "place": rule.place,
        "by": rule.by,
        "from_micros": rule.from_micros if rule.from_micros > ever.from_micros else None,
        "until_micros": rule.until_micros if rule.until_micros < ever.until_micros else None,
        "reason": rule.reason,
        "holds": rule.holds_at(now_micros) and not blind,
        "blind": blind,
    }


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return (found.st_mtime_ns, found.st_size, found.st_ino)
