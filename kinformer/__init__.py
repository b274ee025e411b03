"""Kubernetes informers for asyncio.

An informer keeps an exact, indexed, in-memory copy of a resource, and calls coroutines when it changes.

    API server ──▶ Client ──▶ Reflector ──▶ DeltaFIFO ──▶ Indexer ──▶ Lister      reads: plain calls, no await
                                                             └──────▶ handlers    plain or coroutine functions

    async with Client() as client:                          # in-cluster, else KUBECONFIG, else ~/.kube/config
        factory = SharedInformerFactory(client)
        pods = factory.core.v1.pods                         # the same informer each time it is asked for
        pods.add_event_handler(on_add=print)
        async with factory:
            await factory.wait_for_cache_sync(timeout=30)
            print(pods.lister.get("web-0", namespace="default"))

These are the names an application writes; each module's docstring says more. A name is imported when it is first used:
`import kinformer` alone loads nothing, and a program that uses only the work queue never loads an HTTP client. Built-in
resources are constants in `kinformer.resources`, an API server for tests is in `kinformer.testing`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kinformer._version import __version__

if TYPE_CHECKING:
    from kinformer._time_slice import set_time_slice
    from kinformer.backoff import Backoff, RetryPolicy
    from kinformer.cache.delta_fifo import DeltaFIFO
    from kinformer.cache.indexer import Indexer
    from kinformer.cache.lister import Lister
    from kinformer.cache.snapshot import CacheSnapshot
    from kinformer.cache.storage import StorageStatus
    from kinformer.client import CachedClient, Client
    from kinformer.config import ClusterConfig
    from kinformer.controller import Controller, Requeue, TerminalError
    from kinformer.controller.status import ControllerState, ControllerStatus
    from kinformer.custom_resources import CustomResource, custom_resource
    from kinformer.errors import (
        AlreadyExistsError,
        AlreadyOwnedError,
        AlreadyStartedError,
        ApiError,
        ApplyConflictError,
        BadRequestError,
        CacheMissError,
        CacheSyncError,
        ConfigError,
        ConflictError,
        ConnectError,
        ConversionError,
        DecodeError,
        ExpiredError,
        ForbiddenError,
        IncompatibleSchemaError,
        IndexConflictError,
        IndexerError,
        IndexFunctionError,
        InvalidError,
        KinformerError,
        LeadershipLostError,
        LifecycleError,
        MalformedStreamError,
        MethodNotAllowedError,
        MissingDependencyError,
        NotFoundError,
        NotOursError,
        NotStartedError,
        ObjectError,
        ProtocolError,
        RecordingError,
        ResourceVersionTooLargeError,
        SelectorError,
        ServerError,
        ServerTimeoutError,
        ServiceUnavailableError,
        ShardGroupError,
        StoppedError,
        StreamBrokenError,
        SwappedArgumentsWarning,
        TLSError,
        TooManyRequestsError,
        TransformError,
        TransportError,
        TransportTimeoutError,
        UnauthorizedError,
        UnexpectedError,
        UnknownClusterError,
        UnknownIndexError,
        UnknownResourceError,
        UnsupportedMediaTypeError,
        UnsyncedReadWarning,
        WaitTimeoutError,
        WrongLoopError,
    )
    from kinformer.events import Added, Deleted, Updated
    from kinformer.filters import EventFilter
    from kinformer.fleet import Cluster, ClusterKey, Fleet
    from kinformer.informer import SharedInformer
    from kinformer.informer.event_stream import EventStream
    from kinformer.informer.factory import SharedInformerFactory
    from kinformer.informer.registration import HandlerRegistration
    from kinformer.informer.typed import TypedInformer, TypedLister
    from kinformer.labels import FieldSelector, LabelSelector
    from kinformer.manager import Manager
    from kinformer.metrics import Metrics, WorkMetrics
    from kinformer.objects import KubeObject, ObjectKey
    from kinformer.operators.conflicts import retry_on_conflict
    from kinformer.operators.event_recorder import EventRecorder
    from kinformer.operators.finalizers import Finalizer
    from kinformer.operators.leader_election import LeaderElector
    from kinformer.operators.leadership import Leadership
    from kinformer.operators.owners import owned_by
    from kinformer.operators.shard_group import ShardGroup
    from kinformer.operators.shard_status import ShardGroupStatus
    from kinformer.operators.status_conditions import StatusCondition
    from kinformer.reflector.trim import Trim
    from kinformer.resources import Resource
    from kinformer.scope import Fields, Labels, Namespaces, Ranges, Scope, Shard
    from kinformer.status import InformerState, InformerStatus
    from kinformer.workqueue import Debounce, RateLimitingQueue, WorkQueue

__all__ = [
    "Added",
    "AlreadyExistsError",
    "AlreadyOwnedError",
    "AlreadyStartedError",
    "ApiError",
    "ApplyConflictError",
    "Backoff",
    "BadRequestError",
    "CacheMissError",
    "CacheSnapshot",
    "CacheSyncError",
    "CachedClient",
    "Client",
    "Cluster",
    "ClusterConfig",
    "ClusterKey",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "Controller",
    "ControllerState",
    "ControllerStatus",
    "ConversionError",
    "CustomResource",
    "Debounce",
    "DecodeError",
    "Deleted",
    "DeltaFIFO",
    "EventFilter",
    "EventRecorder",
    "EventStream",
    "ExpiredError",
    "FieldSelector",
    "Fields",
    "Finalizer",
    "Fleet",
    "ForbiddenError",
    "HandlerRegistration",
    "IncompatibleSchemaError",
    "IndexConflictError",
    "IndexFunctionError",
    "Indexer",
    "IndexerError",
    "InformerState",
    "InformerStatus",
    "InvalidError",
    "KinformerError",
    "KubeObject",
    "LabelSelector",
    "Labels",
    "LeaderElector",
    "Leadership",
    "LeadershipLostError",
    "LifecycleError",
    "Lister",
    "MalformedStreamError",
    "Manager",
    "MethodNotAllowedError",
    "Metrics",
    "MissingDependencyError",
    "Namespaces",
    "NotFoundError",
    "NotOursError",
    "NotStartedError",
    "ObjectError",
    "ObjectKey",
    "ProtocolError",
    "Ranges",
    "RateLimitingQueue",
    "RecordingError",
    "Requeue",
    "Resource",
    "ResourceVersionTooLargeError",
    "RetryPolicy",
    "Scope",
    "SelectorError",
    "ServerError",
    "ServerTimeoutError",
    "ServiceUnavailableError",
    "Shard",
    "ShardGroup",
    "ShardGroupError",
    "ShardGroupStatus",
    "SharedInformer",
    "SharedInformerFactory",
    "StatusCondition",
    "StoppedError",
    "StorageStatus",
    "StreamBrokenError",
    "SwappedArgumentsWarning",
    "TLSError",
    "TerminalError",
    "TooManyRequestsError",
    "TransformError",
    "TransportError",
    "TransportTimeoutError",
    "Trim",
    "TypedInformer",
    "TypedLister",
    "UnauthorizedError",
    "UnexpectedError",
    "UnknownClusterError",
    "UnknownIndexError",
    "UnknownResourceError",
    "UnsupportedMediaTypeError",
    "UnsyncedReadWarning",
    "Updated",
    "WaitTimeoutError",
    "WorkMetrics",
    "WorkQueue",
    "WrongLoopError",
    "__version__",
    "custom_resource",
    "owned_by",
    "retry_on_conflict",
    "set_time_slice",
]

# Where each name lives; the imports above say the same to type checkers, and a test compares the two.
_HOME = {
    **dict.fromkeys(
        (
            "AlreadyExistsError",
            "AlreadyOwnedError",
            "AlreadyStartedError",
            "ApiError",
            "ApplyConflictError",
            "BadRequestError",
            "CacheMissError",
            "CacheSyncError",
            "ConfigError",
            "ConflictError",
            "ConnectError",
            "ConversionError",
            "DecodeError",
            "ExpiredError",
            "ForbiddenError",
            "IncompatibleSchemaError",
            "IndexConflictError",
            "IndexerError",
            "IndexFunctionError",
            "InvalidError",
            "KinformerError",
            "LifecycleError",
            "LeadershipLostError",
            "MethodNotAllowedError",
            "MissingDependencyError",
            "NotFoundError",
            "NotOursError",
            "NotStartedError",
            "ObjectError",
            "ProtocolError",
            "RecordingError",
            "ResourceVersionTooLargeError",
            "SelectorError",
            "ServerError",
            "ServerTimeoutError",
            "ServiceUnavailableError",
            "ShardGroupError",
            "StoppedError",
            "MalformedStreamError",
            "StreamBrokenError",
            "SwappedArgumentsWarning",
            "UnexpectedError",
            "TLSError",
            "TooManyRequestsError",
            "TransformError",
            "TransportError",
            "TransportTimeoutError",
            "UnauthorizedError",
            "UnknownClusterError",
            "UnknownIndexError",
            "UnknownResourceError",
            "UnsupportedMediaTypeError",
            "UnsyncedReadWarning",
            "WaitTimeoutError",
            "WrongLoopError",
        ),
        "errors",
    ),
    "Backoff": "backoff",
    "RetryPolicy": "backoff",
    "CachedClient": "client",
    "Client": "client",
    "ClusterConfig": "config",
    "Controller": "controller",
    "Requeue": "controller",
    "TerminalError": "controller",
    "ControllerState": "controller.status",
    "ControllerStatus": "controller.status",
    "CustomResource": "custom_resources",
    "custom_resource": "custom_resources",
    "DeltaFIFO": "cache.delta_fifo",
    "EventStream": "informer.event_stream",
    "Added": "events",
    "Deleted": "events",
    "Updated": "events",
    "SharedInformerFactory": "informer.factory",
    "Indexer": "cache.indexer",
    "SharedInformer": "informer",
    "FieldSelector": "labels",
    "LabelSelector": "labels",
    "Lister": "cache.lister",
    **dict.fromkeys(("Cluster", "ClusterKey", "Fleet"), "fleet"),
    "Manager": "manager",
    "Metrics": "metrics",
    "WorkMetrics": "metrics",
    "KubeObject": "objects",
    "ObjectKey": "objects",
    "HandlerRegistration": "informer.registration",
    "Resource": "resources",
    "LeaderElector": "operators.leader_election",
    "ShardGroup": "operators.shard_group",
    "ShardGroupStatus": "operators.shard_status",
    "Leadership": "operators.leadership",
    "EventFilter": "filters",
    "StorageStatus": "cache.storage",
    "Finalizer": "operators.finalizers",
    "EventRecorder": "operators.event_recorder",
    "StatusCondition": "operators.status_conditions",
    "owned_by": "operators.owners",
    "retry_on_conflict": "operators.conflicts",
    "Shard": "scope",
    "Scope": "scope",
    "Namespaces": "scope",
    "Ranges": "scope",
    "Labels": "scope",
    "Fields": "scope",
    "CacheSnapshot": "cache.snapshot",
    "set_time_slice": "_time_slice",
    "Trim": "reflector.trim",
    "TypedInformer": "informer.typed",
    "TypedLister": "informer.typed",
    "InformerState": "status",
    "InformerStatus": "status",
    "Debounce": "workqueue",
    "RateLimitingQueue": "workqueue",
    "WorkQueue": "workqueue",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        msg = f"module 'kinformer' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"kinformer.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
