"""What the benchmarks feed their clients with is what it claims to be, and their results survive a restart."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as runner
from benchmarks import generator, readme, report, results
from benchmarks.api_replay import FIRST_UPDATE, serving
from benchmarks.handlers import HANDLERS
from benchmarks.results import Answer
from benchmarks.table import Row, markdown
from benchmarks.wire import JSON, PROTOBUF


def named(raw: bytes) -> dict[str, Any]:
    metadata: dict[str, Any] = json.loads(raw)["metadata"]
    return metadata


def test_no_two_generated_pods_are_alike() -> None:
    pods = generator.pods(1_000)
    assert len({named(raw)["uid"] for raw in pods}) == 1_000
    assert len({(named(raw)["namespace"], named(raw)["name"]) for raw in pods}) == 1_000
    assert len({json.loads(raw)["status"]["podIP"] for raw in pods}) == 1_000
    assert len({named(raw)["labels"]["app"] for raw in pods}) > 10
    assert len({json.loads(raw)["spec"]["nodeName"] for raw in pods}) == generator.NODES


def test_the_same_number_gives_the_same_pod_in_another_process() -> None:
    program = "import sys; from benchmarks import generator; sys.stdout.buffer.write(generator.pod(4321))"
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert done.stdout == generator.pod(4321)


def test_nothing_of_the_recorded_pod_shines_through() -> None:
    raw = generator.pod(4321)
    for recorded in (b"team-", b"web-000", b'"10.244.', b"000121"):
        assert recorded not in raw


def test_an_update_is_of_the_pod_in_the_list_and_later() -> None:
    seen: dict[str, int] = {}
    for place in range(900):
        number, raw = generator.event(place, 200)
        listed, updated = json.loads(generator.pod(number)), json.loads(raw)
        assert updated["kind"] == "Pod"
        assert updated["spec"] == listed["spec"]
        for field in ("name", "namespace", "uid", "labels", "ownerReferences", "creationTimestamp"):
            assert updated["metadata"][field] == listed["metadata"][field]
        version = int(updated["metadata"]["resourceVersion"])
        assert version > seen.get(updated["metadata"]["uid"], int(listed["metadata"]["resourceVersion"]))
        seen[updated["metadata"]["uid"]] = version
    assert len(seen) == 200
    assert min(seen.values()) >= FIRST_UPDATE


def test_protobuf_is_framed_as_a_kube_apiserver_does() -> None:
    """The frames of runtime.Unknown and metav1.WatchEvent, field by field."""
    event = PROTOBUF.event("ADDED", b"\x0a\x00")
    assert int.from_bytes(event[:4], "big") == len(event) - 4
    assert event[4:11] == b"\x0a\x05ADDED"
    assert b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x02\x0a\x00" in event
    assert b'"items":[{},{}]' in JSON.page([b"{}", b"{}"], "")


def test_the_replay_server_pages_streams_and_waits_to_be_told() -> None:
    with serving(7, 12) as url:

        def get(path: str) -> Any:
            with urllib.request.urlopen(url + path) as answer:
                return json.load(answer)

        names: list[str] = []
        more = ""
        while True:
            page = get(f"/api/v1/pods?limit=3&continue={more}")
            names += [item["metadata"]["name"] for item in page["items"]]
            more = page["metadata"].get("continue", "")
            if not more:
                break
        assert names == [named(generator.pod(number))["name"] for number in range(7)]
        assert len(get("/api/v1/pods?limit=3&resourceVersion=0")["items"]) == 7, "as a server answers from its cache"
        get("/replay/reset?objects=4")
        assert len(get("/api/v1/pods")["items"]) == 4
        with urllib.request.urlopen(f"{url}/api/v1/pods?watch=1&sendInitialEvents=true") as stream:
            lines = [json.loads(stream.readline()) for _ in range(5)]
            assert [line["type"] for line in lines] == ["ADDED"] * 4 + ["BOOKMARK"]
            get("/replay/begin")
            lines = [json.loads(stream.readline()) for _ in range(12)]
        assert {line["type"] for line in lines} == {"MODIFIED"}


def test_what_was_measured_is_kept_and_becomes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINFORMER_BENCH_CACHE", str(tmp_path))
    rows = [Row("an event", "9 µs", points=((1.0, 2.0),)), Row("… of the scan limit", "2 ×", "≤ 2.5 ×", True)]
    answers = {"ingest": Answer(rows, "2026-11-24 22:00", 2.0, "abc"), "peers": Answer([], "", 1.0, "abc", "no Go")}
    results.save(answers)
    assert results.load() == answers
    page = report.page(results.load(), ("ingest", "peers", "sync"))
    assert "| an event … of the scan limit | 2 × | ≤ 2.5 × | yes |" in page
    assert "Could not be measured: no Go" in page
    assert "Not measured yet" in page


def test_figures_in_the_readme_are_those_that_were_measured() -> None:
    def answered(*rows: Row) -> Answer:
        return Answer([*rows], "2026-11-24 22:00", 2.0, "abc")

    before = readme.README.read_text()
    assert readme.with_figures(before, {}) == before
    assert readme.with_figures(before, {"handlers": Answer([], "", 1.0, "", "no Go")}) == before
    status, owns = HANDLERS["status"][0], HANDLERS["owns"][0]
    answers = {
        "handlers": answered(
            Row(status, "", number=30.0),
            Row(owns, "", number=20.0),
            Row("client-go, protobuf, handler and index read", "", number=100.0),
        ),
        "peers": answered(
            *(Row("kinformer", "", number=number, series=series) for series, number in CLIENT.items()),
            Row("kinformer, compact storage", "", number=1_400.0, series="held"),
        ),
        "stall": answered(
            Row("loop held while 50,000 objects sync, longest; the handler reads names", "", number=7.2),
            Row("loop held while 50,000 objects sync, p99; the handler reads names", "", number=99.0),
            Row("loop held by a burst of 10 events, longest; 100 handlers read status", "", number=9.0),
        ),
    }
    text = readme.with_figures(before, answers)
    assert '| `obj["status"]["phase"]`, and an index `obj["spec"]["nodeName"]` | 30 µs | 0.30 |' in text
    assert "generation_changed`; `annotations_changed` |" not in text, "a row that was not measured as a whole"
    assert "| **kinformer**: cache, index and a handler | 11 µs | 15 µs | 10 kB, or 1.4 kB compact |" in text
    loop = "held for 7 ms at most while 50,000 objects and 100,000 events arrive (9 ms with 100 handlers)"
    assert loop in text.replace("\n", " ")
    assert readme.with_figures(text, answers) == text


CLIENT = {"watch": 11.0, "sync": 15.0, "held": 10_000.0}


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no marks"):
        readme.with_figures("# kinformer", {})


def test_a_damaged_file_of_results_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINFORMER_BENCH_CACHE", str(tmp_path))
    (tmp_path / "results.json").write_text('{"ingest": {"rows": [1]}}')
    assert results.load() == {}


def test_a_benchmark_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--only", "ingest,nonsense"]) == 2
    assert "there is no benchmark nonsense" in capsys.readouterr().err


def test_a_question_that_fails_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KINFORMER_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(runner, "LONGEST", 0.0)
    assert runner.main(["--only", "imports", "--no-report"]) == 0
    assert "could not be measured: not answered within 0 s" in capsys.readouterr().out
    assert results.load()["imports"].error


@pytest.mark.skipif(sys.platform != "linux", reason="waits for a process that is not its child")
def test_a_question_that_crashes_is_told_at_once_and_what_it_started_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = tmp_path / "left"
    (tmp_path / "crashing.py").write_text(
        "import subprocess, sys, pathlib\n"
        "def main():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    pathlib.Path({str(left)!r}).write_text(str(child.pid))\n"
        "    raise RuntimeError('no luck')\n"
    )
    monkeypatch.setenv("KINFORMER_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path.cwd())]))
    monkeypatch.setattr(runner, "_PROGRAM", "import crashing; crashing.main()")
    assert runner.main(["--only", "imports", "--no-report"]) == 0
    assert "could not be measured: RuntimeError: no luck" in capsys.readouterr().out
    try:
        watched = os.pidfd_open(int(left.read_text()))
    except ProcessLookupError:
        return
    assert select.select([watched], [], [], 30)[0], "still running"
    os.close(watched)


def test_a_target_that_could_not_be_measured_is_not_reached_silently() -> None:
    assert "not measured |" in markdown([Row("ratio", "not measured: no Go", "≤ 0.5 ×")])
