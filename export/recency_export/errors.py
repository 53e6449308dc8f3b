"""What can go wrong in the exporter, classed by what the caller does next.

ExportError
├── MissingWeights    install the language model, or say where it is
├── MissingExtra      install the `export` extra (torch, transformers, onnx, …)
├── TensorRTMissing   install what the message names, or serve by onnxruntime
├── UnfitEncoder      choose another method of adapting the language model, or other layers
├── ForeignLog        name another folder: this one holds another log's events
├── NonFinite         report: training or a score gave a number that is not finite
├── DiskFull          free space, then retry
├── ExporterBusy      wait: another exporter works on this store
├── LearnerBehind     wait: the item learner learns anew without somebody who was erased; see that it runs
├── NoParent          make a first release: there is none to go on from
├── CouldNotJudge     retry: the gate could not judge the candidate now, which says nothing about it
└── ParityError       report: the exported graph does not compute what torch computes
"""

from __future__ import annotations


class ExportError(Exception):
    """Anything that keeps the exporter from publishing a release."""


class MissingWeights(ExportError):
    """The language model's files are not where they were looked for."""


class MissingExtra(ExportError):
    """A package of the `export` extra is not installed."""


class TensorRTMissing(ExportError):
    """TensorRT, a driver or a GPU is not there."""


class UnfitEncoder(ExportError):
    """This language model cannot be adapted by this method; the message says which can."""


class ForeignLog(ExportError):
    """A folder of Parquet files was made from another log, or from this one before it was restored."""


class NonFinite(ExportError):
    """A loss or a score is NaN or infinite where it must not be."""


class DiskFull(ExportError):
    """The disk took no more; nothing that serves was touched."""


class ExporterBusy(ExportError):
    """Another exporter holds the workspace or the lease; the message says who."""


class LearnerBehind(ExportError):
    """What the item learner has in the store was learned before somebody was erased, and is not to be folded in."""


class NoParent(ExportError):
    """No release serves that a new one could be fine-tuned from, or it is of another shape."""


class CouldNotJudge(ExportError):
    """Something the gate needs (a Triton, the parent) went away meanwhile; the candidate stays a candidate."""


class ParityError(ExportError):
    """torch and onnxruntime disagree about the same request."""
