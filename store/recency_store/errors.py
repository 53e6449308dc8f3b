"""What can go wrong in the store, classed by what the caller does next.

StoreError
├── StoreUnavailable    wait and retry: the disk is full, the file is locked, the server is away
├── StoreBusy           retry later, with less: more writes wait than the store takes
├── StoreClosed         report: a call after close()
├── StoreTooNew         upgrade this software: the schema was written by a newer one
├── LeaseLost           stop: somebody else holds the lease now
├── UnknownRelease      fix the request: there is no such release
├── RejectedRelease     fix the request: the release was rejected and may not serve
├── NothingToReview     look again: nobody has reported the item since it was last looked at
├── StateChanged        look again: somebody has moved the release, or stored the user, meanwhile
└── ManifestError       fix the release: a file is missing, corrupt or of another version
"""

from __future__ import annotations


class StoreError(Exception):
    """Anything the store refuses or cannot do."""


class StoreUnavailable(StoreError):
    """The store cannot take the call now; nothing was written."""


class StoreBusy(StoreError):
    """Too many writes wait already; this one was not taken."""


class StoreClosed(StoreError):
    """The store was closed before this call."""


class StoreTooNew(StoreError):
    """The stored schema is newer than this software."""


class LeaseLost(StoreError):
    """The caller's lease has passed to another holder."""


class UnknownRelease(StoreError):
    """No release has this number."""


class RejectedRelease(StoreError):
    """A rejected release was to serve."""


class NothingToReview(StoreError):
    """An item without an open report was to be decided on."""


class StateChanged(StoreError):
    """A release or a user is not in the state that the caller expected."""


class ManifestError(StoreError):
    """A release folder does not hold what its manifest says."""
