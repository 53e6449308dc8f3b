from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReleaseState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RELEASE_STATE_UNSPECIFIED: _ClassVar[ReleaseState]
    RELEASE_STATE_CANDIDATE: _ClassVar[ReleaseState]
    RELEASE_STATE_SHADOW: _ClassVar[ReleaseState]
    RELEASE_STATE_CANARY: _ClassVar[ReleaseState]
    RELEASE_STATE_ACTIVE: _ClassVar[ReleaseState]
    RELEASE_STATE_RETIRED: _ClassVar[ReleaseState]
    RELEASE_STATE_REJECTED: _ClassVar[ReleaseState]
RELEASE_STATE_UNSPECIFIED: ReleaseState
RELEASE_STATE_CANDIDATE: ReleaseState
RELEASE_STATE_SHADOW: ReleaseState
RELEASE_STATE_CANARY: ReleaseState
RELEASE_STATE_ACTIVE: ReleaseState
RELEASE_STATE_RETIRED: ReleaseState
RELEASE_STATE_REJECTED: ReleaseState

class Release(_message.Message):
    __slots__ = ("release", "state", "reason", "parent", "create_time", "trained_through_time", "item_count", "model_versions", "metrics", "checksums", "canary_fraction", "use", "kind", "run")
    class ModelVersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ChecksumsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    TRAINED_THROUGH_TIME_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUMS_FIELD_NUMBER: _ClassVar[int]
    CANARY_FRACTION_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    release: int
    state: ReleaseState
    reason: str
    parent: int
    create_time: _timestamp_pb2.Timestamp
    trained_through_time: _timestamp_pb2.Timestamp
    item_count: int
    model_versions: _containers.ScalarMap[str, int]
    metrics: _containers.ScalarMap[str, float]
    checksums: _containers.ScalarMap[str, str]
    canary_fraction: float
    use: ReleaseUse
    kind: str
    run: str
    def __init__(self, release: _Optional[int] = ..., state: _Optional[_Union[ReleaseState, str]] = ..., reason: _Optional[str] = ..., parent: _Optional[int] = ..., create_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., trained_through_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., item_count: _Optional[int] = ..., model_versions: _Optional[_Mapping[str, int]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., checksums: _Optional[_Mapping[str, str]] = ..., canary_fraction: _Optional[float] = ..., use: _Optional[_Union[ReleaseUse, _Mapping]] = ..., kind: _Optional[str] = ..., run: _Optional[str] = ...) -> None: ...

class ReleaseUse(_message.Message):
    __slots__ = ("gateway", "role", "refused_reason", "held", "arm", "shadow")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REASON_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    role: str
    refused_reason: str
    held: int
    arm: ReleaseArm
    shadow: ReleaseShadow
    def __init__(self, gateway: _Optional[str] = ..., role: _Optional[str] = ..., refused_reason: _Optional[str] = ..., held: _Optional[int] = ..., arm: _Optional[_Union[ReleaseArm, _Mapping]] = ..., shadow: _Optional[_Union[ReleaseShadow, _Mapping]] = ...) -> None: ...

class ReleaseArm(_message.Message):
    __slots__ = ("answers", "degraded", "errors", "clicks", "reward", "reward_low", "reward_high", "latency_median", "latency_p90")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    REWARD_LOW_FIELD_NUMBER: _ClassVar[int]
    REWARD_HIGH_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MEDIAN_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P90_FIELD_NUMBER: _ClassVar[int]
    answers: int
    degraded: int
    errors: int
    clicks: int
    reward: float
    reward_low: float
    reward_high: float
    latency_median: _duration_pb2.Duration
    latency_p90: _duration_pb2.Duration
    def __init__(self, answers: _Optional[int] = ..., degraded: _Optional[int] = ..., errors: _Optional[int] = ..., clicks: _Optional[int] = ..., reward: _Optional[float] = ..., reward_low: _Optional[float] = ..., reward_high: _Optional[float] = ..., latency_median: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., latency_p90: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ReleaseShadow(_message.Message):
    __slots__ = ("scored", "dropped", "errors", "overlap_at_10", "rank_correlation", "latency_mean")
    SCORED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_AT_10_FIELD_NUMBER: _ClassVar[int]
    RANK_CORRELATION_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MEAN_FIELD_NUMBER: _ClassVar[int]
    scored: int
    dropped: int
    errors: int
    overlap_at_10: float
    rank_correlation: float
    latency_mean: _duration_pb2.Duration
    def __init__(self, scored: _Optional[int] = ..., dropped: _Optional[int] = ..., errors: _Optional[int] = ..., overlap_at_10: _Optional[float] = ..., rank_correlation: _Optional[float] = ..., latency_mean: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListReleasesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListReleasesResponse(_message.Message):
    __slots__ = ("releases", "next_page_token")
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    releases: _containers.RepeatedCompositeFieldContainer[Release]
    next_page_token: str
    def __init__(self, releases: _Optional[_Iterable[_Union[Release, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetReleaseRequest(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: int
    def __init__(self, release: _Optional[int] = ...) -> None: ...

class GetReleaseResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: Release
    def __init__(self, release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class ActivateReleaseRequest(_message.Message):
    __slots__ = ("release", "reason", "wait")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    release: int
    reason: str
    wait: _duration_pb2.Duration
    def __init__(self, release: _Optional[int] = ..., reason: _Optional[str] = ..., wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ActivateReleaseResponse(_message.Message):
    __slots__ = ("release", "served")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    release: Release
    served: bool
    def __init__(self, release: _Optional[_Union[Release, _Mapping]] = ..., served: bool = ...) -> None: ...

class SetCanaryRequest(_message.Message):
    __slots__ = ("release", "fraction", "reason")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    release: int
    fraction: float
    reason: str
    def __init__(self, release: _Optional[int] = ..., fraction: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class SetCanaryResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: Release
    def __init__(self, release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class RollbackReleaseRequest(_message.Message):
    __slots__ = ("release", "reason")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    release: int
    reason: str
    def __init__(self, release: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class RollbackReleaseResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: Release
    def __init__(self, release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class SetShadowRequest(_message.Message):
    __slots__ = ("release", "end", "reason")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    release: int
    end: bool
    reason: str
    def __init__(self, release: _Optional[int] = ..., end: bool = ..., reason: _Optional[str] = ...) -> None: ...

class SetShadowResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: Release
    def __init__(self, release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...

class WatchReleasesRequest(_message.Message):
    __slots__ = ("include_current",)
    INCLUDE_CURRENT_FIELD_NUMBER: _ClassVar[int]
    include_current: bool
    def __init__(self, include_current: bool = ...) -> None: ...

class WatchReleasesResponse(_message.Message):
    __slots__ = ("release",)
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    release: Release
    def __init__(self, release: _Optional[_Union[Release, _Mapping]] = ...) -> None: ...
