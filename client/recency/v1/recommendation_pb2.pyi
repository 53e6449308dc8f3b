from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from recency.v1 import event_pb2 as _event_pb2
from recency.v1 import item_pb2 as _item_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecommendView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECOMMEND_VIEW_UNSPECIFIED: _ClassVar[RecommendView]
    RECOMMEND_VIEW_IDS: _ClassVar[RecommendView]
    RECOMMEND_VIEW_ITEMS: _ClassVar[RecommendView]

class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_UNSPECIFIED: _ClassVar[Source]
    SOURCE_USER: _ClassVar[Source]
    SOURCE_QUERY: _ClassVar[Source]
    SOURCE_SEED: _ClassVar[Source]
    SOURCE_TREND: _ClassVar[Source]
    SOURCE_NEW: _ClassVar[Source]
    SOURCE_CANDIDATE: _ClassVar[Source]
    SOURCE_PROMOTION: _ClassVar[Source]
    SOURCE_RELATED: _ClassVar[Source]

class ReasonKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_KIND_UNSPECIFIED: _ClassVar[ReasonKind]
    REASON_KIND_BEHAVIOUR: _ClassVar[ReasonKind]
    REASON_KIND_CONTENT: _ClassVar[ReasonKind]
    REASON_KIND_TREND: _ClassVar[ReasonKind]
    REASON_KIND_QUERY: _ClassVar[ReasonKind]
    REASON_KIND_POLICY: _ClassVar[ReasonKind]
RECOMMEND_VIEW_UNSPECIFIED: RecommendView
RECOMMEND_VIEW_IDS: RecommendView
RECOMMEND_VIEW_ITEMS: RecommendView
SOURCE_UNSPECIFIED: Source
SOURCE_USER: Source
SOURCE_QUERY: Source
SOURCE_SEED: Source
SOURCE_TREND: Source
SOURCE_NEW: Source
SOURCE_CANDIDATE: Source
SOURCE_PROMOTION: Source
SOURCE_RELATED: Source
REASON_KIND_UNSPECIFIED: ReasonKind
REASON_KIND_BEHAVIOUR: ReasonKind
REASON_KIND_CONTENT: ReasonKind
REASON_KIND_TREND: ReasonKind
REASON_KIND_QUERY: ReasonKind
REASON_KIND_POLICY: ReasonKind

class Promotion(_message.Message):
    __slots__ = ("name", "filter", "share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    filter: str
    share: float
    def __init__(self, name: _Optional[str] = ..., filter: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "session_id", "surface", "labels", "context", "page_size", "page_token", "recent_events", "query", "query_weight", "seed_item_ids", "negative_item_ids", "candidate_item_ids", "filter", "exclude_item_ids", "include_seen", "promotions", "diversity", "exploration", "explain", "trace", "consistency_token", "strict_consistency", "max_staleness", "view", "validate_only")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SURFACE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RECENT_EVENTS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    QUERY_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SEED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    PROMOTIONS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STRICT_CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    session_id: str
    surface: str
    labels: _containers.ScalarMap[str, str]
    context: _struct_pb2.Struct
    page_size: int
    page_token: str
    recent_events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    query: str
    query_weight: float
    seed_item_ids: _containers.RepeatedScalarFieldContainer[str]
    negative_item_ids: _containers.RepeatedScalarFieldContainer[str]
    candidate_item_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    exclude_item_ids: _containers.RepeatedScalarFieldContainer[str]
    include_seen: bool
    promotions: _containers.RepeatedCompositeFieldContainer[Promotion]
    diversity: float
    exploration: float
    explain: bool
    trace: bool
    consistency_token: _containers.RepeatedScalarFieldContainer[str]
    strict_consistency: bool
    max_staleness: _duration_pb2.Duration
    view: RecommendView
    validate_only: bool
    def __init__(self, user_id: _Optional[str] = ..., session_id: _Optional[str] = ..., surface: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., context: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., recent_events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ..., query: _Optional[str] = ..., query_weight: _Optional[float] = ..., seed_item_ids: _Optional[_Iterable[str]] = ..., negative_item_ids: _Optional[_Iterable[str]] = ..., candidate_item_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., exclude_item_ids: _Optional[_Iterable[str]] = ..., include_seen: bool = ..., promotions: _Optional[_Iterable[_Union[Promotion, _Mapping]]] = ..., diversity: _Optional[float] = ..., exploration: _Optional[float] = ..., explain: bool = ..., trace: bool = ..., consistency_token: _Optional[_Iterable[str]] = ..., strict_consistency: bool = ..., max_staleness: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., view: _Optional[_Union[RecommendView, str]] = ..., validate_only: bool = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("kind", "text", "event_id", "item_id", "contribution")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    kind: ReasonKind
    text: str
    event_id: str
    item_id: str
    contribution: float
    def __init__(self, kind: _Optional[_Union[ReasonKind, str]] = ..., text: _Optional[str] = ..., event_id: _Optional[str] = ..., item_id: _Optional[str] = ..., contribution: _Optional[float] = ...) -> None: ...

class Recommendation(_message.Message):
    __slots__ = ("item_id", "score", "probability", "propensity", "source", "promotion", "reasons", "item")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    probability: float
    propensity: float
    source: Source
    promotion: str
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    item: _item_pb2.Item
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., probability: _Optional[float] = ..., propensity: _Optional[float] = ..., source: _Optional[_Union[Source, str]] = ..., promotion: _Optional[str] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., item: _Optional[_Union[_item_pb2.Item, _Mapping]] = ...) -> None: ...

class Freshness(_message.Message):
    __slots__ = ("release", "release_time", "trained_through_time", "learned_through_time", "behaviour_time", "catalog_time", "release_age", "trained_through_age", "learned_through_age", "behaviour_age", "catalog_age", "events_used")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_TIME_FIELD_NUMBER: _ClassVar[int]
    TRAINED_THROUGH_TIME_FIELD_NUMBER: _ClassVar[int]
    LEARNED_THROUGH_TIME_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOUR_TIME_FIELD_NUMBER: _ClassVar[int]
    CATALOG_TIME_FIELD_NUMBER: _ClassVar[int]
    RELEASE_AGE_FIELD_NUMBER: _ClassVar[int]
    TRAINED_THROUGH_AGE_FIELD_NUMBER: _ClassVar[int]
    LEARNED_THROUGH_AGE_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOUR_AGE_FIELD_NUMBER: _ClassVar[int]
    CATALOG_AGE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_USED_FIELD_NUMBER: _ClassVar[int]
    release: int
    release_time: _timestamp_pb2.Timestamp
    trained_through_time: _timestamp_pb2.Timestamp
    learned_through_time: _timestamp_pb2.Timestamp
    behaviour_time: _timestamp_pb2.Timestamp
    catalog_time: _timestamp_pb2.Timestamp
    release_age: _duration_pb2.Duration
    trained_through_age: _duration_pb2.Duration
    learned_through_age: _duration_pb2.Duration
    behaviour_age: _duration_pb2.Duration
    catalog_age: _duration_pb2.Duration
    events_used: int
    def __init__(self, release: _Optional[int] = ..., release_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., trained_through_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., learned_through_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., behaviour_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., catalog_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., release_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., trained_through_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., learned_through_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., behaviour_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., catalog_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., events_used: _Optional[int] = ...) -> None: ...

class StageTime(_message.Message):
    __slots__ = ("stage", "duration")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    stage: str
    duration: _duration_pb2.Duration
    def __init__(self, stage: _Optional[str] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FilteredCandidates(_message.Message):
    __slots__ = ("cause", "count", "item_ids")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    cause: str
    count: int
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cause: _Optional[str] = ..., count: _Optional[int] = ..., item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Trace(_message.Message):
    __slots__ = ("stages", "candidates_by_source", "filtered", "used_event_ids", "unused_event_ids")
    class CandidatesBySourceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STAGES_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_BY_SOURCE_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    USED_EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    UNUSED_EVENT_IDS_FIELD_NUMBER: _ClassVar[int]
    stages: _containers.RepeatedCompositeFieldContainer[StageTime]
    candidates_by_source: _containers.ScalarMap[str, int]
    filtered: _containers.RepeatedCompositeFieldContainer[FilteredCandidates]
    used_event_ids: _containers.RepeatedScalarFieldContainer[str]
    unused_event_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, stages: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., candidates_by_source: _Optional[_Mapping[str, int]] = ..., filtered: _Optional[_Iterable[_Union[FilteredCandidates, _Mapping]]] = ..., used_event_ids: _Optional[_Iterable[str]] = ..., unused_event_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("recommendation_id", "recommendations", "freshness", "degraded", "degraded_reason", "missing_item_ids", "next_page_token", "trace")
    RECOMMENDATION_ID_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDATIONS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_REASON_FIELD_NUMBER: _ClassVar[int]
    MISSING_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    recommendation_id: str
    recommendations: _containers.RepeatedCompositeFieldContainer[Recommendation]
    freshness: Freshness
    degraded: bool
    degraded_reason: str
    missing_item_ids: _containers.RepeatedScalarFieldContainer[str]
    next_page_token: str
    trace: Trace
    def __init__(self, recommendation_id: _Optional[str] = ..., recommendations: _Optional[_Iterable[_Union[Recommendation, _Mapping]]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., degraded: bool = ..., degraded_reason: _Optional[str] = ..., missing_item_ids: _Optional[_Iterable[str]] = ..., next_page_token: _Optional[str] = ..., trace: _Optional[_Union[Trace, _Mapping]] = ...) -> None: ...

class StreamRecommendRequest(_message.Message):
    __slots__ = ("request", "events")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    request: RecommendRequest
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    def __init__(self, request: _Optional[_Union[RecommendRequest, _Mapping]] = ..., events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ...) -> None: ...

class StreamRecommendResponse(_message.Message):
    __slots__ = ("response", "messages_reflected")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_REFLECTED_FIELD_NUMBER: _ClassVar[int]
    response: RecommendResponse
    messages_reflected: int
    def __init__(self, response: _Optional[_Union[RecommendResponse, _Mapping]] = ..., messages_reflected: _Optional[int] = ...) -> None: ...
