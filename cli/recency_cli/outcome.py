"""An error → one line for people (or a JSON object), and the exit code that tells scripts what to do next."""

from __future__ import annotations

import json
import sys

from recency_cli.errors import CliError

FAILED, USAGE, UNREACHABLE, NOT_READY = 1, 2, 3, 4

# By module and class, so that mapping an error imports nothing that has not been imported by whoever raised it.
_CODES = {
    "recency_export.rows.BadFile": FAILED,
    "recency_export.errors.MissingWeights": NOT_READY,
    "recency_export.errors.MissingExtra": NOT_READY,
    "recency_export.errors.ExporterBusy": NOT_READY,
    "recency_export.errors.LearnerBehind": NOT_READY,
    "recency_export.errors.NoParent": NOT_READY,
    "recency_export.errors.CouldNotJudge": UNREACHABLE,
    "recency_export.errors.TensorRTMissing": NOT_READY,
    "recency_export.errors.UnfitEncoder": USAGE,
    "recency_inference.errors.TritonMissing": NOT_READY,
    "recency_inference.errors.StubMissing": NOT_READY,
    "recency_inference.errors.Unavailable": UNREACHABLE,
    "recency_server.errors.NoRelease": NOT_READY,
    "recency_server.rules.RulesError": USAGE,
    "recency_server.exposure.NoSuchAttribute": USAGE,
    "recency.errors.Unavailable": UNREACHABLE,
    "recency.errors.InvalidArgument": USAGE,
}
_PACKAGES = ("recency", "recency_store", "recency_export", "recency_inference", "recency_server", "recency_bench")


def exit_code(error: BaseException) -> int:
    """The exit code of an error."""
    if isinstance(error, CliError):
        return error.code
    for kind in type(error).__mro__:
        code = _CODES.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return FAILED


def sentence(error: BaseException) -> str:
    """What a person should read: our own errors say it themselves, the system's are put into words."""
    if isinstance(error, BaseExceptionGroup):
        return sentence(error.exceptions[0])
    if isinstance(error, CliError) or type(error).__module__.partition(".")[0] in _PACKAGES:
        return str(error)
    if isinstance(error, (LookupError, OSError)) and not isinstance(error, (KeyError, IndexError)):
        return str(error)
    return f"{type(error).__name__}: {error} (this is a defect; RECENCY_DEBUG=1 shows where)"


def report(error: BaseException, *, as_json: bool) -> int:
    """Prints the error and answers its exit code."""
    cause = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    code = exit_code(cause)
    if as_json:
        print(json.dumps({"error": sentence(cause), "kind": type(cause).__name__, "code": code}), flush=True)
    else:
        print(f"error: {sentence(cause)}", file=sys.stderr)
    return code
