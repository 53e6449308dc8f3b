"""The connection: limits, load balancing over a name's addresses, and which calls are retried."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from recency.v1 import catalog_pb2, recommendation_pb2, release_pb2, user_pb2

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_SECONDS = 10.0
# A page of 1,000 items with texts of 64 KiB.
MAX_MESSAGE_BYTES = 80 * 1024 * 1024

# All of these may be sent twice: reads; Feedback counts an event_id once; the other writes say what shall be.
_RETRIED = {
    "recency.v1.RecommendationService": ("Recommend", "Feedback"),
    "recency.v1.CatalogService": ("UpsertItems", "DeleteItems", "HideItems", "UnhideItems", "GetItem", "ListItems"),
    "recency.v1.UserService": ("UpsertUser", "GetUser", "ExportUser", "MergeUsers", "DeleteUser"),
    "recency.v1.ReleaseService": ("ListReleases", "GetRelease"),
}
# Sent once: a rollback that is sent twice goes back twice.
_SENT_ONCE = {
    "recency.v1.RecommendationService": ("StreamRecommend",),
    "recency.v1.CatalogService": (),
    "recency.v1.UserService": (),
    "recency.v1.ReleaseService": ("ActivateRelease", "SetCanary", "RollbackRelease", "SetShadow", "WatchReleases"),
}
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": service, "method": m} for service, methods in _RETRIED.items() for m in methods],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]


def methods(channel: Any) -> dict[str, Any]:
    """Every call this client makes, by its name, over a blocking or an asyncio channel."""
    made = {}
    for file in (recommendation_pb2, catalog_pb2, user_pb2, release_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for name in (*_RETRIED[service.full_name], *_SENT_ONCE[service.full_name]):
                method = service.methods_by_name[name]
                both = method.client_streaming and method.server_streaming
                make = channel.stream_stream if both else channel.unary_unary
                if method.server_streaming and not both:
                    make = channel.unary_stream
                made[name] = make(
                    f"/{service.full_name}/{name}",
                    request_serializer=GetMessageClass(method.input_type).SerializeToString,
                    response_deserializer=GetMessageClass(method.output_type).FromString,
                )
    return made
