"""As many different pods as wanted, and updates of them, made of the recorded ones.

The recording holds 300 pods of one deployment, and 480 updates. Of each, the parts that differ between real pods are
cut out once, and filled in again by the number of the pod: its name, namespace, uid, ReplicaSet, labels, node,
addresses, checksums, container ids, creation time and version. Values that are random in a real cluster are hashes of
a number here: the same number gives the same bytes, on every machine. What remains alike is alike in a real cluster,
too: the fields and their order, the managedFields, the containers of one team's chart.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from benchmarks.replay import recorded_lines, recorded_list

__all__ = ["NAMESPACES", "NODES", "event", "pod", "pods", "uid", "update"]

NAMESPACES: Final = 20
NODES: Final = 500
_PODS_OF_A_SET: Final = 5

_APPS: Final = (
    "web-frontend", "checkout-api", "search-index", "image-resizer", "mail-sender", "user-profile", "cart-service",
    "price-engine", "audit-writer", "login-portal", "stock-sync", "report-cron", "feed-builder", "chat-gateway",
    "map-tiles", "ledger-core",
)  # fmt: skip
_TIERS: Final = ("frontend", "backend", "cache", "worker")

_TIME: Final = re.compile(rb'"(?:creationTimestamp|time)":"([^"]+)"')


def _hex(text: str) -> str:
    return hashlib.blake2b(text.encode()).hexdigest()


def uid(number: int) -> str:
    """The uid of one pod."""
    return _uid(_hex(f"pod {number}"))


def _uid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


@lru_cache(maxsize=100_000)
def _of_a_set(number: int) -> dict[str, bytes]:
    """Return the parts that the pods of one ReplicaSet share."""
    digits = _hex(f"set {number}")
    app = _APPS[number % len(_APPS)]
    minute = number % 1440
    values = {
        "app": app,
        "instance": f"{app.partition('-')[0]}-{number % 10}",
        "tier": _TIERS[number % len(_TIERS)],
        "template": digits[:10],
        "owner": _uid(digits[10:42]),
        "checksum": digits[64:],
        "tag": f"v{number % 9}.{number % 23}.{number % 7}",
        "image 1": _hex(f"image {number}")[:64],
        "image 2": _hex(f"sidecar {number}")[:64],
        "created": f"2026-11-{1 + number % 23:02}T{minute // 60:02}:{minute % 60:02}:{digits[:2].translate(_MINUTES)}Z",
        "namespace": f"namespace-{number % NAMESPACES:02}",
    }
    return {name: value.encode() for name, value in values.items()}


_MINUTES: Final = str.maketrans("abcdef6789", "0123450123")
"""Two hexadecimal digits as seconds that exist."""


def _values(number: int, version: int) -> dict[str, bytes]:
    shared = _of_a_set(number // _PODS_OF_A_SET)
    digits = _hex(f"pod {number}")
    node = number % NODES
    return {
        **shared,
        "name": b"%s-%s-%05d" % (shared["app"], shared["template"], number),
        "uid": _uid(digits).encode(),
        "version": b"%d" % version,
        "node": b"node-%04d" % node,
        "pod address": b"10.%d.%d.%d" % (128 + number // 65536, number // 256 % 256, number % 256),
        "host address": b"10.0.%d.%d" % (node // 250, node % 250),
        "container 1": digits[64:].encode(),
        "container 2": _hex(f"sidecar of pod {number}")[64:].encode(),
    }


class _Template:
    """A recorded object, cut where pods differ."""

    def __init__(self, raw: bytes) -> None:
        obj: dict[str, Any] = msgspec.json.decode(raw)
        meta, status = obj["metadata"], obj["status"]
        owner = meta["ownerReferences"][0]
        ids = [container["containerID"].rpartition("/")[2] for container in status["containerStatuses"]]
        images = [container["imageID"].rpartition(":")[2] for container in status["containerStatuses"]]
        found = {
            "version": meta["resourceVersion"],
            "owner": owner["uid"],
            "uid": meta["uid"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "node": obj["spec"]["nodeName"],
            "pod address": status["podIP"],
            "host address": status["hostIP"],
            "template": meta["labels"]["pod-template-hash"],
            "app": meta["labels"]["app"],
            "instance": meta["labels"]["app.kubernetes.io/instance"],
            "tier": meta["labels"]["tier"],
            "container 1": ids[0],
            "container 2": ids[1],
            "image 1": images[0],
            "image 2": images[1],
            "checksum": meta["annotations"]["checksum/config"],
            "tag": obj["spec"]["containers"][0]["image"].rpartition(":")[2],
            "created": meta["creationTimestamp"],
        }
        # Each as a whole: no letter or digit may go on where it ends.
        pattern = "|".join(
            f"(?P<g{place}>(?<![a-z0-9.]){re.escape(text)})" if name in {"app", "name", "template"} else
            f"(?P<g{place}>{re.escape(text)})"
            for place, (name, text) in enumerate(found.items())
        )  # fmt: skip
        names = list(found)
        self.parts: list[bytes] = []
        self.slots: list[str] = []
        last = 0
        for match in re.finditer(pattern.encode(), raw):
            assert match.lastgroup
            self.parts.append(raw[last : match.start()])
            self.slots.append(names[int(match.lastgroup[1:])])
            last = match.end()
        self.end = raw[last:]

    def filled(self, values: dict[str, bytes]) -> bytes:
        pieces = [piece for part, slot in zip(self.parts, self.slots, strict=True) for piece in (part, values[slot])]
        return b"".join(pieces) + self.end


@cache
def _recorded_pods() -> tuple[list[_Template], list[str]]:
    items = msgspec.json.decode(recorded_list(), type=dict[str, msgspec.Raw])["items"]
    raws = [bytes(item) for item in msgspec.json.decode(items, type=list[msgspec.Raw])]
    return [_Template(raw) for raw in raws], [msgspec.json.decode(raw)["metadata"]["name"] for raw in raws]


@cache
def _recorded_updates() -> list[list[_Template]]:
    """By the place of the pod in the list, its updates."""
    _, names = _recorded_pods()
    updates: dict[str, list[_Template]] = {name: [] for name in names}
    for line in recorded_lines():
        raw = bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["object"])
        updates[msgspec.json.decode(raw)["metadata"]["name"]].append(_Template(raw))
    return [updates[name] for name in names]


def pod(number: int, version: int | None = None) -> bytes:
    """The JSON of one pod, as an item of a list: without kind and apiVersion.

    Args:
        number: which; the same number gives the same pod.
        version: its resourceVersion; by default 1,000,000 and the number.
    """
    templates, _ = _recorded_pods()
    return templates[number % len(templates)].filled(_values(number, version or 1_000_000 + number))


def pods(count: int) -> list[bytes]:
    """The JSON of so many pods."""
    return [pod(number) for number in range(count)]


def update(number: int, version: int, turn: int = 0) -> bytes:
    """The JSON of a later state of the same pod, as in a watch: with kind and apiVersion; `turn` says which."""
    recorded = _recorded_updates()
    templates = recorded[number % len(recorded)]
    return templates[turn % len(templates)].filled(_values(number, version))


def event(place: int, objects: int) -> tuple[int, bytes]:
    """Of a stream of updates spread over so many pods, the one at that place: the number of its pod, and its JSON."""
    number = place * 7919 % objects
    return number, update(number, 20_000_000 + place, place)
