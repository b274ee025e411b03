"""Memory of objects and keys, as the allocator counts it: `sys.getsizeof` knows neither unused buffers nor hashes."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

from kinformer.objects import KubeObject, ObjectKey
from kinformer.resources import PODS

if TYPE_CHECKING:
    from collections.abc import Callable


def allocated(make: Callable[[], Any]) -> int:
    """Return the bytes that stay allocated after a call, while its result exists."""
    make()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = make()
        taken = tracemalloc.get_traced_memory()[0] - before
        del made
    finally:
        tracemalloc.stop()
    return taken


def test_an_object_made_of_a_manifest_takes_no_more_than_its_json_and_its_head() -> None:
    # For a long text, the encoder's buffer grows to one and a half times the size so far.
    manifest = {"metadata": {"name": "a"}, "data": {"text": "x" * 9_000}}
    size = len(KubeObject.from_dict(manifest, PODS).raw)
    assert allocated(lambda: KubeObject.from_dict(manifest, PODS)) < size + 1_000


def test_keys_in_a_dict_take_no_memory_for_a_hash() -> None:
    names = [f"name-{number}" for number in range(1_000)]
    keys = allocated(lambda: {ObjectKey("n", name): None for name in names})
    texts = allocated(lambda: dict.fromkeys(names))
    assert keys - texts < 1_000 * 50
