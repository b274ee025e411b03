"""What a configuration makes of a list and of a watch, byte by byte: all that may differ is what is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from kinformer import Client, ClusterConfig
from kinformer.errors import ConfigError, KinformerError
from kinformer.resources import NODES, PODS, Resource
from tests.wire.raw_server import CHUNKED, LIST, RawServer, answer, is_watch, resolving

if TYPE_CHECKING:
    from pathlib import Path

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")
NAMES = {
    name: ["127.0.0.1"]
    for name in ("api.test", "api.test.", "API.Test", "other.test", "xn--bcher-kva.test", "bücher.test")
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One configuration."""

    name: str
    url: str = "http://{host}"
    host: str = "127.0.0.1"
    config: dict[str, Any] = field(default_factory=dict)
    user: dict[str, Any] | None = None
    cluster: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    resource: Resource = PODS
    expected: tuple[bytes, ...] = ()  # lines that both have, in this order


CASES = [
    Case(name="plain", expected=(b"Host: 127.0.0.1:PORT",)),
    Case(name="a trailing slash", url="http://{host}/"),
    Case(name="a path", url="http://{host}/k8s/clusters/c-1"),
    Case(name="a path with a space", url="http://{host}/a%20b"),
    Case(name="a path with an escape", url="http://{host}/a%2Fb"),
    Case(name="a path beyond ASCII", url="http://{host}/b%C3%BCcher"),
    Case(name="an upper-case scheme and host", url="HTTP://{host}", host="API.Test"),
    Case(name="a name", host="api.test", expected=(b"Host: api.test:PORT",)),
    Case(name="a name with a trailing dot", host="api.test."),
    Case(name="a name beyond ASCII", host="bücher.test", expected=(b"Host: xn--bcher-kva.test:PORT",)),
    Case(name="localhost", host="localhost"),
    Case(name="https", url="https://{host}", host="api.test"),
    Case(name="https by address", url="https://{host}"),
    Case(name="https with a trailing dot", url="https://{host}", host="api.test."),
    Case(name="https beyond ASCII", url="https://{host}", host="bücher.test"),
    Case(name="https in upper case", url="https://{host}", host="API.Test"),
    Case(name="https with a server name", url="https://{host}", host="other.test", config={"server_name": "api.test"}),
    Case(
        name="https with a server name of a trailing dot",
        url="https://{host}",
        host="other.test",
        config={"server_name": "api.test."},
    ),
    Case(name="https with a path", url="https://{host}/rancher/", host="api.test"),
    Case(
        name="https with a client certificate",
        url="https://{host}",
        host="api.test",
        config={"cert_file": "client.pem"},
    ),
    Case(name="https with a token", url="https://{host}", host="api.test", config={"token": "T0KEN"}),
    Case(
        name="https without verification",
        url="https://{host}",
        host="wrong.test",
        config={"verify": False, "ca_file": None},
    ),
    Case(name="a token", config={"token": "T0KEN"}, expected=(b"Authorization: Bearer T0KEN",)),
    Case(name="a token file", config={"token_file": "token"}),
    Case(
        name="a token and a configured authorization", config={"token": "T", "headers": {"authorization": "Basic eDp5"}}
    ),
    Case(name="a configured authorization", config={"headers": {"authorization": "Basic eDp5"}}),
    Case(name="a configured host", config={"headers": {"host": "api.internal"}}, expected=(b"host: api.internal",)),
    Case(name="a configured user agent", config={"headers": {"user-agent": "mine"}}, expected=(b"user-agent: mine",)),
    Case(name="a configured accept", config={"headers": {"ACCEPT": "x/y"}}),
    Case(name="a configured accept-encoding", config={"headers": {"accept-encoding": "br"}}),
    Case(name="a configured cookie", config={"headers": {"Cookie": "a=b"}}),
    Case(name="an empty header", config={"headers": {"X-Empty": ""}}, expected=(b"X-Empty: ",)),
    Case(name="a header with spaces", config={"headers": {"X-Spaces": " a  b "}}),
    Case(name="a header with a tab", config={"headers": {"X-Tab": "a\tb"}}),
    Case(name="a header in Latin-1", config={"headers": {"X-Name": "José"}}, expected=("X-Name: José".encode(),)),
    Case(
        name="a header beyond Latin-1", config={"headers": {"X-Name": "Łukasz"}}, expected=("X-Name: Łukasz".encode(),)
    ),
    Case(name="a header beyond the BMP", config={"headers": {"X-Name": "\U0001f600"}}),
    Case(name="a long header", config={"headers": {"X-Long": "x" * 8000}}),
    Case(name="many headers", config={"headers": {f"X-{n}": str(n) for n in range(60)}}),
    Case(
        name="two headers of one name",
        config={"headers": {"X-Two": "1", "x-two": "2"}},
        expected=(b"X-Two: 1", b"X-Two: 2"),
    ),
    Case(name="odd header names", config={"headers": {"X!#$%&'*+-.^_`|~": "1"}}),
    Case(name="a user agent", client={"user_agent": "shop-operator/1.0"}),
    Case(name="a user agent in Latin-1", client={"user_agent": "Übersicht"}),
    Case(name="a user agent beyond Latin-1", client={"user_agent": "日本"}),
    Case(name="a user", user={"as": "jane"}, expected=(b"Impersonate-User: jane",)),
    Case(name="a user in Latin-1", user={"as": "José"}, expected=("Impersonate-User: José".encode(),)),
    Case(name="a user beyond Latin-1", user={"as": "Łukasz"}, expected=("Impersonate-User: Łukasz".encode(),)),
    Case(name="a user with a comma", user={"as": "a,b"}),
    Case(
        name="groups",
        user={"as": "jane", "as-groups": ["dev", "admins"]},
        expected=(b"Impersonate-Group: dev", b"Impersonate-Group: admins"),
    ),
    Case(
        name="a group with a comma",
        user={"as": "jane", "as-groups": ["a,b", "c"]},
        expected=(b"Impersonate-Group: a,b",),
    ),
    Case(name="a uid", user={"as": "jane", "as-uid": "1234"}),
    Case(
        name="extras",
        user={"as": "jane", "as-user-extra": {"scopes": ["view", "edit"]}},
        expected=(b"Impersonate-Extra-scopes: view", b"Impersonate-Extra-scopes: edit"),
    ),
    Case(
        name="extras with odd keys",
        user={"as": "jane", "as-user-extra": {"example.com/project": ["p1"], "Reason %41": ["é"]}},
        expected=(b"Impersonate-Extra-example.com%2Fproject: p1", "Impersonate-Extra-Reason%20%2541: é".encode()),
    ),
    Case(name="a kubeconfig's token", user={"token": "T0KEN", "as": "jane"}),
    Case(name="a user name and password", user={"username": "jané", "password": "pä:ss"}),
    Case(name="no compression", user={}, cluster={"disable-compression": True}),
    Case(name="a proxy", config={"proxy": "http://{proxy}"}),
    Case(name="a proxy with a password", config={"proxy": "http://u:p%40w@{proxy}"}),
    Case(name="a proxy and https", url="https://{host}", host="api.test", config={"proxy": "http://{proxy}"}),
    Case(
        name="a proxy with a password and https",
        url="https://{host}",
        host="api.test",
        config={"proxy": "http://u:pw@{proxy}"},
    ),
    Case(
        name="a proxy, https and a token",
        url="https://{host}",
        host="api.test",
        config={"proxy": "http://{proxy}", "token": "T"},
    ),
    Case(name="a path with segments of dots", url="http://{host}/a/../b/./c"),
    Case(name="a path with two slashes", url="http://{host}//a//b/"),
    Case(name="a path with reserved characters", url="http://{host}/a+b;c=d,e/*$&'()"),
    Case(name="a path with an escaped letter", url="http://{host}/%61%7e"),
    Case(name="a token of base64", config={"token": "aGVsbG8+/w=="}),
    Case(name="a header of spaces only", config={"headers": {"X-Spaces": "   "}}),
    Case(name="a header with quotes and commas", config={"headers": {"X-List": 'a, "b, c", d;q=0.5'}}),
    Case(name="a user of a service account", user={"as": "system:serviceaccount:a:b"}),
    Case(name="a user with spaces and escapes", user={"as": " jane%20doe+x "}),
    Case(name="groups beyond Latin-1", user={"as": "jane", "as-groups": ["Łódź", "日本"]}),
    Case(name="an extra in capital letters", user={"as": "jane", "as-user-extra": {"Scopes": ["A"], "b": []}}),
    Case(name="a user and a configured impersonation", user={"as": "jane", "as-uid": "u"}, client={"user_agent": "x"}),
    Case(name="a password with colons", user={"username": "u:v", "password": ":p:"}),
    Case(name="an empty password", user={"username": "u", "password": ""}),
    Case(name="a proxy with a path", config={"proxy": "http://{proxy}/"}),
    Case(name="a proxy with a user alone", config={"proxy": "http://u@{proxy}"}),
    Case(name="a proxy and a path", url="http://{host}/k8s/", config={"proxy": "http://{proxy}"}),
    Case(name="labels with spaces and signs", source={"label_selector": "a notin (b, c), !d, e==f"}),
    Case(name="a long selector", source={"label_selector": "a in (" + ",".join(f"v{n}" for n in range(500)) + ")"}),
    Case(name="a namespace", source={"namespace": "web"}),
    Case(name="labels", source={"label_selector": "app in (a,b),x!=y,é=ü"}),
    Case(name="fields", source={"field_selector": "spec.nodeName=n 1,a=b&c=d#e"}),
    Case(name="metadata only", source={"metadata_only": True}),
    Case(name="a cluster-scoped resource", resource=NODES),
    Case(name="a custom resource", resource=WIDGETS, source={"namespace": "a"}),
]


class Proxy:
    """An HTTP proxy that keeps what it is asked."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            method, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
            port = int((target if method == b"CONNECT" else target.split(b"/")[2]).rpartition(b":")[2])
            there, out = await asyncio.open_connection("127.0.0.1", port)
            if method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                out.write(head)

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    while data := await source.read(65536):
                        sink.write(data)
                sink.close()

            task = asyncio.current_task()
            assert task is not None
            self.tasks.add(task)
            async with asyncio.TaskGroup() as both:
                both.create_task(copy(reader, out))
                both.create_task(copy(there, writer))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    folder = tmp_path_factory.mktemp("trust")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    (folder / "token").write_text("T0KEN-FROM-A-FILE\n")
    return authority, folder


def configured(case: Case, port: int, proxy: int, folder: Path) -> ClusterConfig:
    url = case.url.format(host=f"{case.host}:{port}")
    if case.user is not None:
        return ClusterConfig.from_dict(
            {
                "clusters": [{"name": "c", "cluster": {"server": url, **case.cluster}}],
                "users": [{"name": "u", "user": case.user}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    given: dict[str, Any] = {"ca_file": "ca.pem"} if url.startswith("https") else {}
    given |= case.config
    given = {name: folder / value if name.endswith("_file") and value else value for name, value in given.items()}
    if "proxy" in given:
        given["proxy"] = given["proxy"].format(proxy=f"127.0.0.1:{proxy}")
    return ClusterConfig.for_server(url, trust_env=False, **given)


def respond(head: bytes, writer: asyncio.StreamWriter) -> bytes | None:
    if not is_watch(head):
        kinds = {
            b"PartialObjectMetadataList": b"PartialObjectMetadataList",
            b"/nodes": b"NodeList",
            b"/widgets": b"WidgetList",
        }
        kind = next((kind for sign, kind in kinds.items() if sign in head), b"PodList")
        return answer(LIST.replace(b"PodList", kind))
    writer.write(CHUNKED + b"0\r\n\r\n")
    return None


def lines(head: bytes, port: int) -> tuple[bytes, list[bytes]]:
    """The request line without the query, and the headers."""
    first, *headers = head.replace(b":%d" % port, b":PORT").split(b"\r\n")[:-2]
    target, _, protocol = first.rpartition(b" ")
    return target.partition(b"?")[0] + b" " + protocol, headers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_list_and_a_watch_of_one_configuration_are_sent_in_the_same_bytes(
    case: Case, authority: tuple[trustme.CA, Path]
) -> None:
    trust, folder = authority
    context = None
    if case.url.startswith("https"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trust.issue_cert("127.0.0.1", "api.test", "xn--bcher-kva.test").configure_cert(context)
        trust.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
    proxy = Proxy()
    between = await proxy.start()
    peers: list[tuple[bool, Any]] = []

    def seen(head: bytes, writer: asyncio.StreamWriter) -> bytes | None:
        peers.append((is_watch(head), writer.get_extra_info("peercert")))
        return respond(head, writer)

    async with RawServer(seen, context) as server, between:
        with resolving({**NAMES, "wrong.test": ["127.0.0.1"]}):
            config = configured(case, server.port, proxy.port, folder)
            async with Client(config, **case.client) as client:
                source = client.list_watch(case.resource, **case.source)
                async for _ in source.list():
                    pass
                async with source.watch(resource_version="1", timeout_seconds=5) as batches:
                    async for _ in batches:
                        pass
            # A connection that is there already is used again: the names are asked for anew with a new client.
            async with Client(config, **case.client) as client:
                source = client.list_watch(case.resource, **case.source)
                async with source.watch(resource_version="1", timeout_seconds=5) as batches:
                    async for _ in batches:
                        pass
        for task in proxy.tasks:
            task.cancel()
    listed, watched, again = (lines(head, server.port) for head in server.heads)
    assert watched == again
    assert listed[0] == watched[0]
    own = (b"Accept:", b"Accept-Encoding:")

    def comparable(headers: list[bytes]) -> list[bytes]:
        return [line.split(b" ")[0] if line.startswith(own) else line for line in headers]

    assert comparable(listed[1]) == comparable(watched[1])
    names = [line.partition(b":")[0].lower() for line in listed[1]]
    for single in (b"host", b"user-agent", b"accept", b"accept-encoding", b"authorization"):
        assert names.count(single) <= 1
    assert [line for line in listed[1] if line in case.expected] == list(case.expected)
    assert {certificate and str(certificate["subject"]) for _, certificate in peers} == {
        certificate and str(certificate["subject"]) for _, certificate in peers[:1]
    }
    assert len(set(server.names)) <= 1
    connects = {head.replace(b":%d" % server.port, b"") for head in proxy.heads if head.startswith(b"CONNECT")}
    assert len(connects) <= 1


def test_the_table_is_as_long_as_promised() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-Injected: yes"},
        {"X-A": "a\nb"},
        {"X-A": "a\rb"},
        {"X-A": "a\0b"},
        {"X-A": "a\x7f"},
        {"X-A": "\ud800"},
        {"X-A\r\nX-Injected": "yes"},
        {"X A": "1"},
        {"": "1"},
        {"X:": "1"},
        {"Impersonate-Extra-Reason\r\nX-Injected: yes\r\nX": "v"},
        {"Übersicht": "1"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"Connection": "close"},
    ],
)
async def test_a_header_that_cannot_be_sent_is_refused_before_anything_is_sent(headers: dict[str, str]) -> None:
    async with RawServer(respond) as server:
        with pytest.raises(ConfigError, match="header") as caught:
            async with Client(ClusterConfig.for_server(server.url, headers=headers)):
                pass
        assert "Injected: yes" not in str(caught.value) or "cannot be the name" in str(caught.value)
        assert server.heads == []


async def test_a_user_agent_with_a_line_break_is_refused() -> None:
    with pytest.raises(ConfigError, match="User-Agent"):
        async with Client(ClusterConfig.for_server("http://127.0.0.1:1"), user_agent="a\r\nX: y"):
            pass


async def test_both_go_on_to_the_next_address_when_the_first_is_dead() -> None:
    async with RawServer(respond) as server:
        # Nothing listens there: the connection is refused.
        with resolving({"api.test": ["127.0.0.9", "127.0.0.1"]}):
            async with Client(ClusterConfig.for_server(f"http://api.test:{server.port}", trust_env=False)) as client:
                source = client.list_watch(PODS)
                async with source.watch(resource_version="1", timeout_seconds=5) as batches:
                    async for _ in batches:
                        pass
                assert len(await client.list(PODS)) == 1


async def test_both_go_on_to_the_next_address_when_the_first_swallows_what_is_sent() -> None:
    async with RawServer(respond) as server:
        hole = socket.socket()
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.9", server.port))
        hole.listen(0)
        fill = [socket.socket() for _ in range(8)]
        for one in fill:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.9", server.port))
        await asyncio.sleep(0.1)
        try:
            with resolving({"api.test": ["127.0.0.9", "127.0.0.1"]}):
                for ask in ("watch", "list"):
                    config = ClusterConfig.for_server(f"http://api.test:{server.port}", trust_env=False)
                    async with asyncio.timeout(60), Client(config, connect_timeout=5) as client:
                        if ask == "list":
                            assert len(await client.list(PODS)) == 1
                            continue
                        async with client.list_watch(PODS).watch(resource_version="1", timeout_seconds=5) as batches:
                            async for _ in batches:
                                pass
        finally:
            for one in (*fill, hole):
                one.close()


@pytest.mark.parametrize("host", ["wrong.test", "api.test"])
async def test_neither_believes_a_certificate_of_another_name_or_authority(
    host: str, authority: tuple[trustme.CA, Path], tmp_path: Path
) -> None:
    trust, _ = authority
    other = trustme.CA()
    other.cert_pem.write_to_path(tmp_path / "ca.pem")
    (trust if host == "wrong.test" else other).cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.issue_cert("api.test").configure_cert(context)
    raised: list[type[BaseException]] = []
    async with RawServer(respond, context) as server:
        with resolving({**NAMES, "wrong.test": ["127.0.0.1"]}):
            config = ClusterConfig.for_server(
                f"https://{host}:{server.port}", ca_file=tmp_path / "ca.pem", trust_env=False
            )
            async with Client(config) as client:
                source = client.list_watch(PODS)
                for asking in (_listed(source), _watched(source)):
                    with pytest.raises(KinformerError) as caught:
                        await asking
                    raised.append(caught.type)
        assert server.heads == []
    assert [kind.__name__ for kind in raised] == ["TLSError", "TLSError"]


async def _listed(source: Any) -> None:
    async for _ in source.list():
        pass


async def _watched(source: Any) -> None:
    async with source.watch(resource_version="1", timeout_seconds=5) as batches:
        async for _ in batches:
            pass
