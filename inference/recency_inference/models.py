"""The models of one Triton as its agent handles them: loaded by naming versions, warmed, and asked whether they live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np
import structlog

from recency_features import spec
from recency_inference.agent_metrics import AgentMetrics
from recency_inference.client import BlockingInference
from recency_inference.control import TritonControl
from recency_inference.errors import Hung, InferenceError, LoadFailed, NotAttachable, Overloaded, TooLate
from recency_inference.parts import Key, Part
from recency_inference.repository import Repository
from recency_inference.warm import warm_requests

_log = structlog.get_logger("recency.agent")
_MICROS = 1_000_000
# Between two warming requests, as many times what the first of them took.
_PAUSES = 2.0


class Models:
    """What is loaded at a Triton, and what of it has been warmed."""

    def __init__(
        self,
        target: str,
        repository: Repository,
        clock: Callable[[], int],
        metrics: AgentMetrics,
        warm_timeout_seconds: float,
        probe_timeout_seconds: float,
    ) -> None:
        self._target = target
        self._repository = repository
        self._clock = clock
        self._metrics = metrics
        self._warm_timeout_seconds = warm_timeout_seconds
        self._probe_timeout_seconds = probe_timeout_seconds
        self._control = TritonControl(target)
        self._inference = BlockingInference(target)
        self._warm: dict[Key, Part] = {}

    def loaded(self) -> frozenset[Key]:
        """What is ready now; what has gone since is not warm any more."""
        found = frozenset((model, version) for model, some in self._control.loaded().items() for version in some)
        self._warm = {key: part for key, part in self._warm.items() if key in found}
        return found

    def load(self, model: str, versions: Iterable[int]) -> None:
        """Loads exactly these versions. A load that Triton calls successful must have brought them."""
        named = frozenset(versions)
        begun = self._clock()
        # What is let go of is not probed any more: that it does not answer is no sign of a hanging Triton.
        self._warm = {key: part for key, part in self._warm.items() if key[0] != model or key[1] in named}
        try:
            self._control.load(model, named, self._repository.config(model))
        except LoadFailed as error:
            if not self._control.reads(model):
                raise NotAttachable(
                    f"Triton at {self._target} does not see {self._repository.folder / model}; "
                    "name the repository that it reads with --repository"
                ) from error
            raise
        missing = named - self._control.loaded().get(model, frozenset())
        if missing:
            raise LoadFailed(f"Triton at {self._target}: {model} version {sorted(missing)} did not become ready")
        seconds = (self._clock() - begun) / _MICROS
        self._metrics.loads.labels(model).observe(seconds)
        _log.info("loaded", model=model, versions=sorted(named), seconds=seconds)

    def warm_up(self, part: Part) -> None:
        """Runs every batch bucket once: a first run allocates, and on a GPU picks kernels. Where others answer meanwhile,
        with pauses: a stub that is warmed has the priority of one that answers."""
        if part.key not in self._warm:
            pace = _PAUSES if self._warm else 0.0
            try:
                self._ask(part, self._warm_timeout_seconds, all_buckets=True, pace=pace)
            except TooLate as error:
                raise Hung(
                    f"{part.model} version {part.version} does not answer while it is warmed: {error}"
                ) from error
            self._warm[part.key] = part

    def _ask(self, part: Part, timeout_seconds: float, *, all_buckets: bool, pace: float = 0.0) -> None:
        outputs = [tensor.name for tensor in spec.OUTPUTS[part.model]]
        # The example's values do not matter; one seed keeps one version's warming the same everywhere.
        requests = warm_requests(part.model, part.manifest, np.random.default_rng(0))
        for inputs in requests if all_buckets else requests[:1]:
            begun = time.monotonic()
            self._inference.infer(part.model, part.version, inputs, outputs, timeout_seconds)
            time.sleep(pace * (time.monotonic() - begun))

    def unload(self, model: str) -> None:
        """Lets every version of a model go."""
        self._warm = {key: part for key, part in self._warm.items() if key[0] != model}
        self._control.unload(model)

    def probe(self) -> str:
        """Asks every model that is warm for one small answer: a stub can be alive and hang, and nothing else tells.
        Answers what is wrong, empty where nothing is."""
        for model, version in sorted(self._warm, key=lambda key: (key[0], -key[1])):
            try:
                self._ask(self._warm[model, version], self._probe_timeout_seconds, all_buckets=False)
            except Overloaded:
                continue
            except InferenceError as error:
                self._metrics.hung.inc()
                return f"{model} version {version} does not answer: {error}"
        return ""

    def cool(self) -> None:
        """Triton is gone: nothing is warm."""
        self._warm.clear()

    def close(self) -> None:
        """Closes the connections."""
        self._control.close()
        self._inference.close()
