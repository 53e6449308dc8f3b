"""What can go wrong around Triton, classed by what the caller does next.

InferenceError
├── Unavailable         degrade, retry: Triton cannot be reached or is going away
├── Overloaded          degrade, retry later: Triton's queue is full
├── TooLate             degrade: the answer did not come in time
├── NotLoaded           choose another version, or wait: this one is not loaded there
├── BadRequest          fix the request: Triton or the model refused its tensors
├── ModelFailed         report: the model or Triton broke while answering
├── Hung                start that Triton again: a model takes a request and does not answer
├── LoadFailed          fix the release: Triton refused to load it
├── NotOwner            stop or wait: another agent owns this Triton
├── NotAttachable       fix that Triton's start: it takes no loads, or reads another repository than the agent's
├── ArtifactsUnavailable  retry: a release cannot be fetched or put in place now (network, full disk)
└── LocalTritonError    fix the machine, as the message says
    ├── TritonMissing   the wheel's environment is not there or not complete
    ├── StubMissing     no libpython for any of the wheel's stubs
    ├── PortTaken       somebody listens there already
    ├── FolderTaken     another Triton runs over the same data folder
    └── NotReady        it started and did not become ready; the message ends with its log
"""

from __future__ import annotations


class InferenceError(Exception):
    """Anything that Triton, or the way there, refuses or cannot do."""


class Unavailable(InferenceError):
    """Triton cannot be reached."""


class Overloaded(InferenceError):
    """Triton has more to do than it will take."""


class TooLate(InferenceError):
    """The deadline passed before the answer came."""


class NotLoaded(InferenceError):
    """This version of the model is not loaded."""


class BadRequest(InferenceError):
    """The tensors are not what the model takes."""


class ModelFailed(InferenceError):
    """The model failed on a request that it should have answered."""


class Hung(InferenceError):
    """A model does not answer within a time in which any model would."""


class LoadFailed(InferenceError):
    """Triton refused to load or unload a model; the message has its reason."""


class NotOwner(InferenceError):
    """Another agent loads and unloads at this Triton."""


class NotAttachable(InferenceError):
    """The Triton that an agent was attached to cannot be used as it was started."""


class ArtifactsUnavailable(InferenceError):
    """A release's files cannot be read, fetched or put in place now."""


class LocalTritonError(InferenceError):
    """The local Triton cannot be run as asked."""


class TritonMissing(LocalTritonError):
    """The environment with Triton's wheel is not there or lacks a part."""


class StubMissing(LocalTritonError):
    """The machine has the shared library of no Python that the wheel has a stub for."""


class PortTaken(LocalTritonError):
    """A configured port is in use."""


class FolderTaken(LocalTritonError):
    """Another Triton uses the data folder."""


class NotReady(LocalTritonError):
    """The server ended, or was not ready in time."""
