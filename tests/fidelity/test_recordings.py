"""Each exchange recorded from a real kube-apiserver 1.36 is sent to ApiServer, and the two answers are compared.

The requests go in the order and with the preparation of the recorder that made tests/data/recordings. Compared
are status, content type, the form of Status messages, the types and order of events, and the shape of every object:
which fields it has, and of what type. Each difference that is tolerated is named in TOLERATED, with its reason; one
that no longer occurs fails, too.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from kinformer.testing import ApiServer
from tests.paths import RECORDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = {path.stem: json.loads(path.read_text()) for path in sorted(RECORDINGS.glob("*.json"))}
MERGE = {"Content-Type": "application/merge-patch+json"}

TOLERATED = {
    "readyz": {"text": "the checks of a real server's own parts are left out"},
}

OF_ADMISSION = (".spec.priority", ".spec.preemptionPolicy")
"""The fields of the admission plugin Priority, without which the recorded server ran; a kube-apiserver has it."""

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Play:
    """Sends the recorded requests, after the requests that they need, and keeps the answers."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.answers: dict[str, dict[str, Any]] = {}

    async def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        headers = {"User-Agent": "recorder", "Authorization": "Bearer admin", **(headers or {})}
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, self.server.url + path, data=data, headers=headers) as answer:
            text = await answer.text()
            return {"status": answer.status, "headers": [*answer.headers.items()], "body": text}

    async def replay(self, name: str, *, path: str | None = None, body: Any = None) -> Any:
        """Send a recorded request; a path or a body that has to name a version or a token is given anew."""
        request = ALL[name]["request"]
        headers = dict(request["headers"])
        if name.startswith("forbidden"):
            headers["Authorization"] = "Bearer bob"
        if name == "unauthorized":
            headers["Authorization"] = "Bearer wrong"
        sent = request["body"] if body is None else body
        answer = await self.send(request["method"], path or request["path"], sent, headers)
        self.answers[name] = answer
        try:
            return json.loads(answer["body"])
        except ValueError:
            return None


async def play(server: ApiServer, session: aiohttp.ClientSession) -> dict[str, dict[str, Any]]:
    """The recorder's script."""
    p = Play(server, session)
    ns = "/api/v1/namespaces/rec"
    pods = f"{ns}/pods"
    pod: dict[str, Any] = ALL["create-pod"]["request"]["body"]

    def named(name: str, **labels: str) -> dict[str, Any]:
        return pod | {"metadata": {"name": name, "labels": labels}}

    await p.send("POST", "/api/v1/namespaces", {"metadata": {"name": "rec"}})
    for name in ALL:
        if name.startswith(("discovery", "version", "readyz")):
            await p.replay(name)
    await p.replay("create-pod")
    for i in range(1, 5):
        await p.send("POST", pods, named(f"web-{i}", app="db" if i == 4 else "web", tier="front"))
    for name in ("create-already-exists", "create-generate-name", "create-invalid", "create-bad-json"):
        await p.replay(name)
    got = await p.replay("get-pod")
    await p.replay("get-not-found")
    await p.replay("get-unknown-resource")
    stale = got | {"metadata": got["metadata"] | {"labels": {"app": "web", "v": "2"}}}
    await p.replay("update-pod", body=stale)
    await p.replay("update-conflict", body=stale)
    for name in ("patch-merge", "patch-status", "patch-json", "patch-json-test-fails", "patch-apply"):
        await p.replay(name)
    for name in ("patch-unsupported-type", "unauthorized", "forbidden-list", "forbidden-watch", "list", "list-rv0"):
        await p.replay(name)
    page = await p.replay("list-page-1")
    for name in ("list-page-2", "list-page-3"):
        page = await p.replay(name, path=f"{pods}?limit=2&continue={page['metadata']['continue']}")
    for name in (
        "list-bad-continue",
        "list-labels",
        "list-fields",
        "list-bad-label-selector",
        "list-bad-field-selector",
    ):
        await p.replay(name)
    await p.replay("list-bad-rv")
    await p.replay("list-future-rv")
    version = page["metadata"]["resourceVersion"]
    await p.replay("list-rv-match-exact", path=f"{pods}?resourceVersion={version}&resourceVersionMatch=Exact&limit=1")
    for name in ("list-rv-match-invalid", "list-metadata-only", "list-table", "list-empty"):
        await p.replay(name)
    await watches(p, pods, named, server.resource_version)
    await custom_resources(p)
    for name in ("list-shard", "list-shard-invalid", "delete-pod", "delete-not-found"):
        await p.replay(name)
    for name in ("delete-uid-precondition", "delete-collection", "delete-pod-graceful", "create-lease"):
        await p.replay(name)
    page = json.loads((await p.send("GET", f"{pods}?limit=1"))["body"])
    await p.send("PATCH", f"{pods}/web-0", {"metadata": {"labels": {"t": "2398320602329"}}}, MERGE)
    server.compact()
    await p.replay("list-expired-continue", path=f"{pods}?limit=1&continue={page['metadata']['continue']}")
    await p.replay("watch-too-old")
    await p.replay("watch-list-too-old")
    return p.answers


async def watches(p: Play, pods: str, named: Any, version: int) -> None:
    since = f"?watch=1&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=5"

    async def churn() -> None:
        await asyncio.sleep(0.5)
        await p.send("POST", pods, named("late", app="web"))
        await p.send("PATCH", f"{pods}/late", {"metadata": {"labels": {"app": "db"}}}, MERGE)
        hold = {"metadata": {"labels": {"app": "web"}, "finalizers": ["example.com/hold"]}}
        await p.send("PATCH", f"{pods}/late", hold, MERGE)
        await p.replay("delete-with-finalizer")
        await p.send("PATCH", f"{pods}/late", {"metadata": {"finalizers": None}}, MERGE)

    async with asyncio.TaskGroup() as group:
        group.create_task(p.replay("watch", path=pods + since))
        group.create_task(p.replay("watch-labels", path=f"{pods}{since}&labelSelector=app%3Dweb"))
        group.create_task(p.replay("watch-metadata-only", path=pods + since))
        group.create_task(p.replay("watch-table", path=pods + since))
        group.create_task(churn())
    for name in ("watch-no-rv", "watch-rv0", "watch-list", "watch-list-empty", "watch-list-no-match"):
        await p.replay(name)
    for name in ("watch-future-rv", "watch-bad-rv", "watch-name"):
        await p.replay(name)


async def custom_resources(p: Play) -> None:
    for name in ("create-crd", "create-custom", "list-custom"):
        await p.replay(name)

    async def drop_crd() -> None:
        await asyncio.sleep(1)
        await p.send("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com")

    async with asyncio.TaskGroup() as group:
        group.create_task(p.replay("watch-crd-removed"))
        group.create_task(drop_crd())
    await p.replay("list-crd-removed")


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """All answers of one play; on virtual time, so that five seconds of watching take none."""
    import looptime

    async def run() -> dict[str, dict[str, Any]]:
        server = ApiServer(tokens={"admin": "admin", "bob": "bob"})
        server.deny("bob", "*", "pods")
        async with server, aiohttp.ClientSession() as session:
            return await play(server, session)

    loop = looptime.patch_event_loop(asyncio.SelectorEventLoop(), _enabled=True)
    try:
        return loop.run_until_complete(run())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def shape(value: Any, path: str = "$") -> Iterator[str]:
    """Which fields there are, and of what type; the items of a list count together."""
    if isinstance(value, dict):
        yield f"{path}: object"
        for name, child in value.items():
            yield from shape(child, f"{path}.{name}")
    elif isinstance(value, list):
        yield f"{path}: list"
        for child in value:
            yield from shape(child, f"{path}[]")
    else:
        yield f"{path}: {type(value).__name__}"


def form(message: str) -> str:
    """A message without what differs from server to server."""
    message = TIME.sub("TIME", UUID.sub("UUID", message))
    return re.sub(r"\b\d+\b", "N", message)


def summary(body: str, content_type: str) -> dict[str, Any]:
    """The compared parts of an answer."""
    if "json" not in content_type:
        return {"text": body}
    lines = body.splitlines()
    try:
        documents = [json.loads(body)]
    except ValueError:
        documents = [json.loads(line) for line in lines if line.strip()]
    if documents and "type" in documents[0]:
        return events(documents)
    (document,) = documents or [{}]
    found: dict[str, Any] = {"shape": set(shape(document))}
    if document.get("kind") == "Status":
        found |= {"reason": document.get("reason"), "message": form(document["message"])}
    for field in ("kind", "apiVersion"):
        found[field] = document.get(field)
    if "items" in document:
        found["names"] = sorted(
            re.sub("^gen-.*", "gen-", item["metadata"].get("name", "")) for item in document["items"]
        )
    if "rows" in document:
        found["cells"] = [[re.sub(r"^\d+s$", "Ns", str(cell)) for cell in row["cells"][1:]] for row in document["rows"]]
        found["columns"] = [(c["name"], c["type"], c["format"], c["priority"]) for c in document["columnDefinitions"]]
    return found


def events(documents: list[dict[str, Any]]) -> dict[str, Any]:
    told: list[tuple[str, ...]] = []
    for document in documents:
        obj = document["object"]
        labels = obj.get("metadata", {}).get("labels")
        what = (
            document["type"],
            obj.get("kind"),
            re.sub("^gen-.*", "gen-", str(obj["metadata"].get("name"))),
            str(labels),
        )
        if document["type"] == "ERROR":
            what = (document["type"], obj["reason"], form(obj["message"]), str(obj["code"]))
        if not (document["type"] == "BOOKMARK" and told and told[-1][0] == "BOOKMARK"):
            # The real server may repeat its last bookmark.
            told.append(what)
    return {"events": told, "shape": {line for document in documents for line in shape(document)}}


def differences(name: str, answer: dict[str, Any]) -> dict[str, str]:
    """The differences, by subject."""
    recorded = ALL[name]["response"]
    body = recorded["body"] if "body" in recorded else "".join(line for _, line in recorded["lines"])
    theirs, ours = dict(recorded["headers"]), dict(answer["headers"])
    found: dict[str, str] = {}
    if recorded["status"] != answer["status"]:
        found["status"] = f"{recorded['status']} is answered with {answer['status']}: {answer['body'][:300]}"
        return found
    for header in ("Content-Type", "Retry-After"):
        if theirs.get(header) != ours.get(header):
            found[header] = f"{theirs.get(header)!r} != {ours.get(header)!r}"
    expected, actual = summary(body, theirs["Content-Type"]), summary(answer["body"], ours["Content-Type"])
    for aspect in expected.keys() | actual.keys():
        if aspect in {"names", "shape"} and name == "list-shard":
            # Which objects are in a shard depends on their uids: tests/unit/testing/apiserver/rules/test_selectors.py.
            continue
        if aspect == "shape":
            for line in sorted(expected["shape"] ^ actual["shape"]):
                found[line.partition(":")[0]] = f"{'missing' if line in expected['shape'] else 'too much'}: {line}"
        elif expected.get(aspect) != actual.get(aspect):
            found[aspect] = f"{expected.get(aspect)!r}\n    != {actual.get(aspect)!r}"
    return found


@pytest.mark.parametrize("name", ALL)
def test_the_answer_is_that_of_the_real_server(name: str, answers: dict[str, dict[str, Any]]) -> None:
    found = differences(name, answers[name])
    tolerated = TOLERATED.get(name, {})
    tolerated_everywhere = {what for what in found if what.endswith(OF_ADMISSION)}
    found = {what: how for what, how in found.items() if what not in tolerated_everywhere}
    report = "\n".join(f"  {what}: {how}" for what, how in found.items() if what not in tolerated)
    assert not report, f"{name} differs:\n{report}"
    assert set(tolerated) <= set(found), (
        f"{name} no longer differs in {set(tolerated) - set(found)}: tolerate it no more"
    )


def test_every_recorded_exchange_is_replayed(answers: dict[str, dict[str, Any]]) -> None:
    assert set(answers) == set(ALL)
