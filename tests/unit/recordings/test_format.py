"""The file of a recording: comes back as it was written, and a damaged file gives a clear error."""

from __future__ import annotations

import gzip
import stat
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinformer.errors import RecordingError
from kinformer.recordings import _format
from kinformer.recordings._format import (
    Added,
    Bookmark,
    Deleted,
    End,
    Header,
    Item,
    Listed,
    Modified,
    Record,
    RecordedResource,
    Recording,
    RecordingWriter,
    Refused,
)
from kinformer.resources import DEPLOYMENTS, PODS

if TYPE_CHECKING:
    from pathlib import Path

POD = msgspec.Raw(b'{"metadata":{"name":"a","namespace":"b","resourceVersion":"7"}}')
RECORDS: list[Record] = [
    Header(1, "2026-01-01T00:00:00Z", "v1.36.0"),
    RecordedResource.of(0, PODS),
    RecordedResource.of(1, DEPLOYMENTS),
    Item(0, POD),
    Listed(0.5, 0, "7"),
    Refused(1, 403),
    Added(1.0, 0, POD),
    Modified(1.5, 0, POD),
    Deleted(2.0, 0, POD),
    Bookmark(2.5, 0, "9"),
    End(3.0),
]


def written(path: Path, records: list[Record] = RECORDS) -> bytes:
    path.unlink(missing_ok=True)
    writer = RecordingWriter(path)
    for record in records:
        writer.write(record)
        writer.flush()
    writer.close()
    return path.read_bytes()


def read(path: Path) -> tuple[list[Record], Recording]:
    with Recording.open(path) as recording:
        return [recording.header, *recording], recording


def test_all_records_come_back(tmp_path: Path) -> None:
    written(tmp_path / "a.kin")
    records, recording = read(tmp_path / "a.kin")
    assert records == RECORDS
    assert recording.resources == {0: PODS, 1: DEPLOYMENTS}
    assert recording.resources[1].short_names == DEPLOYMENTS.short_names
    assert (recording.truncated, recording.end) == (False, 3.0)


def test_only_the_owner_may_read_it_and_no_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    written(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError, match=r"a\.kin exists already"):
        RecordingWriter(path)


def test_a_file_that_ends_anywhere_is_read_up_to_its_last_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    whole = written(path)
    seen: list[int] = []
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        found = whole_records(path)
        seen.append(len(found))
        assert found == RECORDS[: len(found)]
    assert seen == sorted(seen)
    assert set(seen) == {*range(len(RECORDS) + 1)}


def whole_records(path: Path) -> list[Record]:
    """The records of a file; none if it is too short for a header."""
    try:
        records, recording = read(path)
    except RecordingError:
        return []
    assert recording.truncated or isinstance(records[-1], End)
    return records


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_byte_gives_a_recording_error_or_other_records_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.kin"
    whole = bytearray(written(path))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    said = ""
    try:
        read(path)
    except RecordingError as error:
        said = str(error)
    assert not said or str(path) in said


def compressed(content: bytes) -> bytes:
    """Compress without the time of day, so that each process of pytest-xdist gives the test the same name."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no recording: it is not compressed"),
        (b"apiVersion: v1\n", "is no recording: it is not compressed"),
        (compressed(b"hello\n"), "is no recording: it begins with no header"),
        (compressed(b'{"type":"END","at":1}\n'), "is no recording: it begins with no header"),
        (compressed(b'{"type":"HEADER","format":2}\n'), "has format 2, and this version reads up to 1"),
        (compressed(b'{"type":"HEADER","format":1}\n{"type":"OTHER"}\n'), "damaged behind record 1"),
        (compressed(b'{"type":"HEADER","format":1}\n{"type":"ITEM","id":3,"object":{}}\n'), "no resource 3"),
        (compressed(b'{"type":"HEADER","format":1}\n' * 2), "a header stands behind"),
        (compressed(b'{"type":"HEADER","format":1}\n{"type":"END","at":1}\n') + b"x", "bytes behind the end"),
        (
            compressed(b'{"type":"HEADER","format":1}\n{"type":"RESOURCE","id":0,"version":"../x","plural":"p","kind":"K"}\n'),
            "no API version",
        ),
        (compressed(b'{"type":"HEADER","format":1}\n' + b"[" * 100_000 + b"\n"), "damaged behind record 1"),
    ],
)  # fmt: skip
def test_the_error_of_a_file_names_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.kin"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=said):
        read(path)


def test_a_bomb_is_refused_without_the_memory_that_it_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_format, "MOST_LINE_BYTES", 1_000_000)
    path = tmp_path / "a.kin"
    path.write_bytes(gzip.compress(b'{"type":"HEADER","format":1}\n' + b" " * 50_000_000, 1))
    with pytest.raises(RecordingError, match="a record of more than 1000000 bytes"):
        read(path)


def test_a_file_that_is_not_there_gives_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"there is no file .*nothing\.kin; `kinformer record "):
        Recording.open(tmp_path / "nothing.kin")
