"""Evictions that wait for the budgets of a PodDisruptionBudget, as `kubectl drain` waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from kinformer.errors import NotFoundError, TooManyRequestsError, WaitTimeoutError
from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import PODS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kinformer.resources import Resource

__all__ = ["SECONDS_BETWEEN_EVICTIONS", "evict"]

SECONDS_BETWEEN_EVICTIONS: Final = 5.0
"""Seconds until the next attempt, if the server names none (kubectl drain.go)."""


class EvictingClient(Protocol):
    """The client of an eviction; `kinformer.Client` is one."""

    async def create(self, resource: Resource, obj: Mapping[str, Any], /, *, subresource: str) -> KubeObject:
        """Create a subresource."""
        ...


async def evict(
    client: EvictingClient,
    pod: str | ObjectKey | KubeObject,
    *,
    namespace: str | None = None,
    timeout: float | None = None,
    grace_period_seconds: int | None = None,
    dry_run: bool = False,
) -> bool:
    """Evict a pod, and wait as long as a PodDisruptionBudget forbids it.

        await evict(client, "web-0", namespace="shop", timeout=300)

    The server refuses an eviction with 429 while the budget allows no disruption. The call tries again after the
    seconds that the server names, or after 5. It returns when the server has accepted the eviction; the pod then has
    its grace period to end. To wait for its end, use `informer.wait_for(pod.key, deleted(pod))`.

    A pod that is given as an object is evicted by its UID: another pod of the same name is left alone. If the call is
    cancelled, the server may or may not have accepted the eviction.

    Args:
        client: sends the requests.
        pod: its name, its key, or the pod.
        namespace: its namespace, with a name.
        timeout: seconds to wait for the budget; `None` for no limit.
        grace_period_seconds: seconds that the pod has to end; by default those of its spec.
        dry_run: let the server check the request and evict nothing.

    Returns:
        True if the server accepted the eviction; false if the pod is gone already.

    Raises:
        WaitTimeoutError: the budget did not allow it in time; the message has the reason of the server.
        ForbiddenError: the right to create `pods/eviction` is missing.
        ValueError: a name without a namespace.
    """
    if isinstance(pod, str) and namespace is None:
        msg = f"pods live in namespaces; give the one of {pod!r} as namespace="
        raise ValueError(msg)
    key = ObjectKey(namespace or "", pod) if isinstance(pod, str) else pod.key if isinstance(pod, KubeObject) else pod
    options: dict[str, Any] = {}
    if grace_period_seconds is not None:
        options["gracePeriodSeconds"] = grace_period_seconds
    if isinstance(pod, KubeObject) and pod.uid:
        options["preconditions"] = {"uid": pod.uid}
    if dry_run:
        options["dryRun"] = ["All"]
    eviction: dict[str, Any] = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": key.name, "namespace": key.namespace},
    }
    if options:
        eviction["deleteOptions"] = options
    clock = asyncio.get_running_loop().time
    until = None if timeout is None else clock() + timeout
    while True:
        try:
            await client.create(PODS, eviction, subresource="eviction")
        except NotFoundError:
            return False
        except TooManyRequestsError as refused:
            pause = refused.retry_after or SECONDS_BETWEEN_EVICTIONS
            if until is not None and clock() + pause > until:
                msg = f"pod {key} was not evicted within {timeout:g} s: {refused}"
                raise WaitTimeoutError(msg) from refused
        else:
            return True
        await asyncio.sleep(pause)
