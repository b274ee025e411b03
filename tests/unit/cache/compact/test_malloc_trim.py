"""Memory that is free is given back, and where that cannot be done, nothing happens."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from kinformer.cache._compact import malloc_trim as heap


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library than glibc")
def test_what_lay_between_blocks_in_use_is_given_back() -> None:
    heap.give_back_free_memory()
    blocks = [bytes([n % 256]) * 20_000 for n in range(4_000)]
    kept = blocks[::10]
    filled = resident()
    del blocks
    free_in_between = resident()
    heap.give_back_free_memory()
    assert free_in_between - resident() > (filled - resident()) / 2
    assert len(kept) == 400


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: object) -> object:
        del name
        return object()

    heap._trim.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    heap.give_back_free_memory()
    heap._trim.cache_clear()
