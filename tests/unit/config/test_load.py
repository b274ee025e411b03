"""Where a configuration is found, what is read from it, and what is said when it cannot be used."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from kinformer.config import ClusterConfig, Identity, _cluster
from kinformer.config._credentials import TokenFile
from kinformer.config._environment import proxy_for
from kinformer.config._tls import TLS, Pem
from kinformer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "hunter2"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def kubeconfig(**changes: Any) -> dict[str, Any]:
    """A kubeconfig of two contexts; `cluster`, `user` and `context` change the entries of the first."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": changes.get("current", "dev"),
        "clusters": [
            {"name": "dev", "cluster": {"server": "https://dev:6443", **changes.get("cluster", {})}},
            {"name": "prod", "cluster": {"server": "https://prod:6443/"}},
        ],
        "users": [{"name": "me", "user": changes.get("user", {"token": SECRET})}],
        "contexts": [
            {"name": "dev", "context": {"cluster": "dev", "user": "me", **changes.get("context", {})}},
            {"name": "prod", "context": {"cluster": "prod", "namespace": "shop"}},
        ],
    }


def written(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))  # which is YAML
    return path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("KUBE") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(_cluster, "SERVICE_ACCOUNT", tmp_path / "serviceaccount")


def service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    mounted = tmp_path / "serviceaccount"
    mounted.mkdir()
    (mounted / "token").write_text("first\n")
    (mounted / "ca.crt").write_text(PEM)
    (mounted / "namespace").write_text("team")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return mounted


async def header(config: ClusterConfig) -> str:
    identity = config.credentials.current() or await config.credentials.renew()
    return identity.authorization


async def test_a_pod_uses_its_service_account_and_its_token_is_read_again_when_it_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounted = service_account(monkeypatch, tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(written(tmp_path / "config", kubeconfig())))
    config = await ClusterConfig.load()
    assert (config.server, config.namespace) == ("https://[fd00::1]:443", "team")
    assert config.tls.ca is not None
    assert config.tls.ca.path == mounted / "ca.crt"
    assert await header(config) == "Bearer first"
    swapped = mounted / "next"
    swapped.write_text("second")
    swapped.rename(mounted / "token")
    assert await header(config) == "Bearer second"
    (mounted / "token").unlink()  # for a moment, while it is replaced
    assert await header(config) == "Bearer second"
    # Asking for a context or a file says that the service account is not meant.
    assert (await ClusterConfig.load(context="prod")).server == "https://prod:6443"
    assert (await ClusterConfig.load(tmp_path / "config")).server == "https://dev:6443"


async def test_the_service_account_needs_nothing_of_kubernetes_asyncio(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from kinformer.config import ClusterConfig, _cluster\n"
        f"_cluster.SERVICE_ACCOUNT = pathlib.Path({str(tmp_path)!r})\n"
        "config = asyncio.run(ClusterConfig.load())\n"
        "import kinformer.client\n"
        "print(config.server, 'kubernetes_asyncio' in sys.modules, 'yaml' in sys.modules)\n"
    )
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text(PEM)
    env = {**os.environ, "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    out = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)  # noqa: ASYNC221 - nothing else runs
    assert out.stdout.split() == ["https://10.0.0.1:443", "False", "False"]


async def test_kubeconfig_is_read_when_load_is_called_and_before_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written(tmp_path / "home/.kube/config", kubeconfig(current="prod"))
    config = await ClusterConfig.load()
    assert (config.server, config.namespace, await header(config)) == ("https://prod:6443", "shop", "")
    monkeypatch.setenv("KUBECONFIG", str(written(tmp_path / "elsewhere", kubeconfig())))
    config = await ClusterConfig.load()
    assert (config.server, config.namespace, await header(config)) == (
        "https://dev:6443",
        "default",
        f"Bearer {SECRET}",
    )


async def test_several_files_are_merged_and_the_first_to_name_something_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = written(
        tmp_path / "a/config",
        {
            "current-context": "mine",
            "contexts": [{"name": "mine", "context": {"cluster": "dev", "user": "cert"}}],
            "users": [{"name": "cert", "user": {"client-certificate": "me.crt", "client-key": "me.key"}}],
        },
    )
    two = written(tmp_path / "b/config", kubeconfig(current="prod", cluster={"certificate-authority": "ca.crt"}))
    for path in (tmp_path / "a/me.crt", tmp_path / "a/me.key", tmp_path / "b/ca.crt"):
        path.write_text(PEM)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, [tmp_path / "absent", one, two])))
    config = await ClusterConfig.load()
    assert config.server == "https://dev:6443"
    assert config.source == f"{one}: context 'mine'"
    # Each path is relative to the file it is named in.
    assert config.tls.ca is not None
    assert config.tls.certificate is not None
    assert config.tls.ca.path == tmp_path / "b/ca.crt"
    assert config.tls.certificate.certificate.path == tmp_path / "a/me.crt"


async def test_everything_a_cluster_and_a_user_may_say_is_understood() -> None:
    data = base64.b64encode(PEM.encode()).decode()
    config = ClusterConfig.from_dict(
        kubeconfig(
            cluster={
                "certificate-authority-data": data,
                "tls-server-name": "kube",
                "proxy-url": "http://user:hunter2@proxy:3128",
                "disable-compression": True,
            },
            user={
                "username": "ada",
                "password": SECRET,
                "client-certificate-data": data,
                "client-key-data": data,
                "as": "bob",
                "as-groups": ["x", "y"],
                "as-user-extra": {"why": ["test"]},
            },
            context={"namespace": "lab"},
        )
    )
    assert config.tls.ca is not None
    assert config.tls.ca.read() == PEM.encode()
    assert (config.tls.server_name, config.tls.verify, config.compression) == ("kube", True, False)
    assert (config.proxy, config.namespace) == ("http://user:hunter2@proxy:3128", "lab")
    assert await header(config) == "Basic " + base64.b64encode(b"ada:hunter2").decode()
    assert config.headers == {
        "Impersonate-User": ["bob"],
        "Impersonate-Group": ["x", "y"],
        "Impersonate-Extra-why": ["test"],
    }


async def test_no_secret_shows_in_a_repr() -> None:
    data = base64.b64encode(b"hunter2").decode()
    for user in (
        {"token": SECRET},
        {"username": "a", "password": SECRET},
        {"client-certificate-data": data, "client-key-data": data},
    ):
        config = ClusterConfig.from_dict(kubeconfig(user=user, cluster={"proxy-url": "http://u:hunter2@p:1"}))
        identity = config.credentials.current()
        shown = repr(config) + str(config) + repr(config.credentials) + repr(identity) + repr(config.tls)
        assert SECRET not in shown
        assert base64.b64encode(b"a:hunter2").decode() not in shown


NO_SUCH = r"there is no context 'nope'; the contexts there are: dev, prod"
BROKEN: list[tuple[dict[str, Any], str | None, str]] = [
    (kubeconfig(), "nope", NO_SUCH),
    (
        kubeconfig(current="nope"),
        None,
        "there is no context 'nope', which is its current-context; the contexts there are",
    ),
    (kubeconfig(current=""), None, "no current-context is set; name one of the contexts there are: dev, prod"),
    (kubeconfig(context={"cluster": "gone"}), None, "context 'dev': there is no cluster 'gone'"),
    (kubeconfig(context={"cluster": ""}), None, "context 'dev': it names no cluster"),
    (kubeconfig(context={"user": "gone"}), None, "context 'dev': there is no user 'gone'"),
    (kubeconfig(cluster={"server": ""}), None, "cluster 'dev': it names no server"),
    (kubeconfig(cluster={"server": "dev:port"}), None, "'http://dev:port' is no server: expected a URL"),
    (kubeconfig(cluster={"server": "dev/path"}), None, "its server has a path and no scheme"),
    (
        kubeconfig(cluster={"insecure-skip-tls-verify": "false"}),
        None,
        "cluster 'dev': insecure-skip-tls-verify is a text, expected true or false; write it without quotes",
    ),
    (kubeconfig(user={"token": 5}), None, "user 'me': token is a number, expected a text; put it in quotes"),
    (kubeconfig(user={"token": SECRET, "as": "me", "as-groups": SECRET}), None, "as-groups is a text, expected a list"),
    (
        kubeconfig(cluster={"insecure-skip-tls-verify": True, "certificate-authority-data": "YQ=="}),
        None,
        "certificate-authority and insecure-skip-tls-verify exclude each other",
    ),
    (kubeconfig(user={"token": SECRET, "username": SECRET}), None, "token and username exclude each other"),
    (kubeconfig(cluster={"server": f"https://me:{SECRET}@x:99999"}), None, "'https://x:99999' is no server"),
    (kubeconfig(cluster={"proxy-url": f"http://me:{SECRET}@[::1"}), None, "a proxy cannot be used"),
    (
        kubeconfig(cluster={"certificate-authority": "/absent.crt"}),
        None,
        "certificate-authority is /absent.crt, and there is no such file",
    ),
    (
        kubeconfig(cluster={"certificate-authority-data": "%%%"}),
        None,
        "certificate-authority-data is not the base64 of PEM text",
    ),
    (kubeconfig(cluster={"proxy-url": "socks5://p:1"}), None, "a proxy of scheme 'socks5' cannot be used"),
    (kubeconfig(user={"client-certificate-data": "YQ=="}), None, "client-certificate and client-key go together"),
    (kubeconfig(user={"tokenFile": "/absent"}), None, "tokenFile is /absent, and there is no such file"),
    (kubeconfig(user={"token": "hunter2\nX: y"}), None, "the token has spaces, line breaks"),
    (kubeconfig(user={"as-groups": ["x"]}), None, "as-uid, as-groups and as-user-extra need `as`"),
    (kubeconfig(user={"auth-provider": {"name": "azure"}}), None, "auth-provider 'azure' is not known"),
    (kubeconfig(user={"exec": {"command": "x"}}), None, "exec plugin 'x' has apiVersion None; known are"),
    (
        kubeconfig(user={"exec": {"apiVersion": "client.authentication.k8s.io/v1"}}),
        None,
        "the exec plugin has no command",
    ),
    (kubeconfig(user={"exec": 5}), None, "user 'me': exec is a number, expected a mapping"),
    ({"clusters": 5}, None, "clusters is a number, expected a list"),
]


@pytest.mark.parametrize(("content", "context", "says"), BROKEN, ids=[says for *_, says in BROKEN])
async def test_a_kubeconfig_that_cannot_be_used_says_where_and_why(
    content: dict[str, Any], context: str | None, says: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "config", content)
    with pytest.raises(ConfigError) as caught:
        await ClusterConfig.load(path, context)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        ClusterConfig.from_dict(content, context)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no current-context is set; name one of the contexts there are: none"),
        ("kind: Pod\n", "is no kubeconfig: expected apiVersion v1 and kind Config"),
        ("users: [{name: a}, {name: a}]\n", "there are two entries for user 'a'"),
        ("- a\n", "is no kubeconfig: expected a mapping"),
        ("users:\n- token: hunter2\n  x: [", "is not YAML at line"),
        ("\udcff", "is not UTF-8"),
    ],
)
async def test_a_file_that_is_no_kubeconfig_is_named(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=says) as caught:
        await ClusterConfig.load(path)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_finding_nothing_says_where_was_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="KUBERNETES_SERVICE_HOST is not set .*KUBECONFIG is not set.*/home/.kube/config"
    ):
        await ClusterConfig.load()
    with pytest.raises(ConfigError, match=f"kubeconfig names a file that does not exist: {tmp_path}/absent"):
        await ClusterConfig.load(tmp_path / "absent")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a{os.pathsep}{tmp_path}/b")
    with pytest.raises(ConfigError, match=f"KUBECONFIG names no file that exists: {tmp_path}/a, {tmp_path}/b"):
        await ClusterConfig.load()


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"url": "10.0.0.1:6443"}, "is no server: expected a URL"),
        ({"url": "ftp://x"}, "is no server: expected a URL"),
        ({"url": "https://:6443"}, "is no server: expected a URL"),
        ({"url": "https://x:port"}, "is no server: expected a URL"),
        ({"url": "https://me:hunter2@x"}, "has a user name or password in it"),
        ({"url": "https://x?token=hunter2"}, "has a query or a fragment"),
        ({"url": "ftp://me:hunter2@x"}, "'ftp://x' is no server"),
        ({"url": "me:hunter2@x:99999"}, "'x:99999' is no server"),
        ({"url": "https://x:port?token=hunter2"}, "'https://x:port' is no server"),
        ({"token": "a", "token_file": "/b"}, "token and token_file contradict each other"),
        ({"token": " "}, "the token is empty"),
        ({"token": "hunter2 x"}, "the token has spaces"),
        ({"token_file": "/absent"}, "cannot read token file /absent: No such file"),
        ({"ca_file": "/absent"}, "ca_file is /absent, and there is no such file"),
        ({"key_file": "/absent"}, "key_file needs the cert_file"),
        ({"ca_file": "/absent", "verify": False}, "ca_file means nothing with verify=False"),
        ({"proxy": "socks5://u:hunter2@x"}, "a proxy of scheme 'socks5' cannot be used"),
    ],
)
def test_for_server_refuses_what_cannot_be_meant(kwargs: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        ClusterConfig.for_server(**{"url": "https://x", **kwargs})
    assert SECRET not in str(caught.value)


async def test_a_token_file_wins_over_a_token_which_bridges_the_time_until_it_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file")
    config = ClusterConfig.from_dict(kubeconfig(user={"tokenFile": str(file), "token": "static"}))
    assert await header(config) == "Bearer from-file"
    file.write_text("")
    empty = ClusterConfig.from_dict(kubeconfig(user={"tokenFile": str(file), "token": "static"}))
    assert await header(empty) == "Bearer static"


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: path.write_bytes(b"x" * ((1 << 20) + 1)), "has 1,048,577 characters, more than an API server"),
        (lambda path: _sparse(path, 1 << 34), "it has more than 16 MiB"),
        (os.mkfifo, "it is no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
        (lambda path: path.mkdir(), "directory|regular file"),
        (lambda path: path.write_bytes(bytes(range(256))), "characters that no token has"),
        (lambda path: path.write_bytes(b"a\nb"), "characters that no token has"),
        (lambda path: None, "No such file"),
    ],
)
async def test_a_token_file_without_a_token_is_an_error_and_leaves_the_token_in_use(
    tmp_path: Path, write: Callable[[Path], object], says: str
) -> None:
    file = tmp_path / "token"
    write(file)
    with pytest.raises(ConfigError, match=f"token file {file}.*({says})"):
        TokenFile(Pem(path=file)).current()
    used = TokenFile(Pem(path=file), fallback=Identity("Bearer before"))
    assert used.current().authorization == "Bearer before"
    new = tmp_path / "new"
    new.write_text("after")
    if file.is_dir():
        file.rmdir()
    new.replace(file)
    assert used.current().authorization == "Bearer after"


@pytest.mark.parametrize("name", ["fifo", "device"])
def test_an_authority_that_is_no_regular_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="cannot be used: it is no regular file"):
        TLS(ca=Pem(path=path)).context()


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://[fe80::1%25eth0]:6443/", "https://[fe80::1%eth0]:6443"),
        ("https://[fe80::1%eth0]:6443", "https://[fe80::1%eth0]:6443"),
        ("https://[fe80::1]:6443/a%25b", "https://[fe80::1]:6443/a%25b"),
    ],
)
def test_the_zone_of_an_address_may_be_written_as_in_a_url(url: str, server: str) -> None:
    # RFC 6874; Go's net/url takes the first form.
    assert ClusterConfig.for_server(url).server == server


@pytest.mark.parametrize(
    ("no_proxy", "url", "used"),
    [
        ("", "https://k.example.com:6443", True),
        ("", "https://localhost:6443", False),
        ("", "https://127.0.0.1:6443", False),
        ("", "https://[::1]:6443", False),
        ("*", "https://k.example.com:6443", False),
        ("example.com", "https://k.example.com:6443", False),
        (".example.com", "https://k.example.com:6443", False),
        (".example.com", "https://example.com:6443", True),
        ("ample.com", "https://k.example.com:6443", True),
        ("a, 10.0.0.0/8", "https://10.1.2.3:6443", False),
        ("10.0.0.0/8", "https://11.1.2.3:6443", True),
        ("k.example.com:443", "https://k.example.com:6443", True),
        ("k.example.com:6443", "https://k.example.com:6443", False),
        ("fd00::/8", "https://[fd00::1]:6443", False),
        ("nonsense/99", "https://10.1.2.3:6443", True),
    ],
)
def test_proxies_of_the_environment_apply_as_they_do_for_kubectl(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, used: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) == ("http://proxy:3128" if used else None)
    assert ClusterConfig.for_server(url).proxy == ("http://proxy:3128" if used else None)
    assert ClusterConfig.for_server(url, trust_env=False).proxy is None


def id_token(expires: int) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{claims}.sig"


def oidc(**config: str) -> dict[str, Any]:
    return kubeconfig(user={"auth-provider": {"name": "oidc", "config": config}})


async def test_an_oidc_token_is_used_until_it_expires(tmp_path: Path) -> None:
    token = id_token(4_000_000_000)
    config = await ClusterConfig.load(written(tmp_path / "config", oidc(**{"id-token": token})))
    assert config.credentials.current() is None
    assert await header(config) == f"Bearer {token}"
    assert config.credentials.current() is not None
    assert await header(ClusterConfig.from_dict(oidc(**{"id-token": token}))) == f"Bearer {token}"


async def test_an_oidc_token_that_kubectl_renewed_is_read_from_the_file_again(tmp_path: Path) -> None:
    path = written(tmp_path / "config", oidc(**{"id-token": id_token(1)}))
    config = await ClusterConfig.load(path)
    with pytest.raises(ConfigError, match="has expired"):
        await config.credentials.renew()
    written(path, oidc(**{"id-token": id_token(4_000_000_000)}))
    assert await header(config) == f"Bearer {id_token(4_000_000_000)}"


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        (
            {"id-token": id_token(1)},
            "id-token of auth-provider oidc has expired, and kinformer does not renew it",
        ),
        ({"id-token": "hunter2"}, "the id-token of auth-provider oidc is no JSON Web Token"),
        ({}, "auth-provider oidc has no id-token; .*use an exec plugin"),
    ],
)
async def test_an_identity_provider_is_never_asked(provider: dict[str, str], says: str, tmp_path: Path) -> None:
    """The refresh token and the client's secret go nowhere, least of all over TLS that verifies nothing."""
    asked: list[object] = []
    server = await asyncio.start_server(lambda *peer: asked.append(peer), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        secrets = {"refresh-token": SECRET, "client-secret": SECRET, "client-id": "k"}
        content = oidc(**provider, **secrets, **{"idp-issuer-url": f"https://127.0.0.1:{port}"})
        path = written(tmp_path / "config", content)
        config = await ClusterConfig.load(path)
        with pytest.raises(ConfigError, match=f"user 'me': .*{says}") as caught:
            await config.credentials.renew()
    assert asked == []
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_server_without_a_scheme_gets_no_credentials(caplog: pytest.LogCaptureFixture) -> None:
    config = ClusterConfig.from_dict(kubeconfig(cluster={"server": "dev:6443"}))
    assert config.server == "http://dev:6443"
    assert await header(config) == ""
    assert "the user's credentials are not sent" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "comment", ["# Főtanúsítvány\n".encode(), "# Société\n".encode("latin-1"), b"\xef\xbb\xbf", b""]
)
@pytest.mark.parametrize("inline", [True, False])
def test_a_ca_bundle_and_a_client_certificate_may_have_comments_in_any_encoding(
    comment: bytes, inline: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("client")
    bundle = comment + trustme.CA().cert_pem.bytes() + b"# another\n" + authority.cert_pem.bytes()
    # Only a bundle may begin with a byte order mark: OpenSSL reads the certificate.
    certificate = (b"" if comment.startswith(b"\xef") else comment) + leaf.cert_chain_pems[0].bytes()
    parts = {
        "certificate-authority": bundle,
        "client-certificate": certificate,
        "client-key": leaf.private_key_pem.bytes(),
    }
    values = {}
    for name, content in parts.items():
        if inline:
            values[f"{name}-data"] = base64.b64encode(content).decode()
        else:
            (tmp_path / name).write_bytes(content)
            values[name] = str(tmp_path / name)
    config = ClusterConfig.from_dict(
        kubeconfig(
            cluster={name: value for name, value in values.items() if "authority" in name},
            user={name: value for name, value in values.items() if "client" in name},
        )
    )
    assert config.tls.context().cert_store_stats()["x509_ca"] == 2


@pytest.mark.parametrize("bundle", [b"", b"# nothing\n", PEM.encode(), b"\xff\xfe"])
def test_a_ca_bundle_without_a_certificate_is_refused(bundle: bytes, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(bundle)
    config = ClusterConfig.for_server("https://x", ca_file=tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match=r"ca\.pem\) cannot be used: .*expected PEM certificates"):
        config.tls.context()


async def test_reading_a_kubeconfig_needs_nothing_of_kubernetes_asyncio(tmp_path: Path) -> None:
    written(tmp_path / "config", kubeconfig())
    program = (
        "import asyncio, sys\n"
        "from kinformer import ClusterConfig\n"
        f"config = asyncio.run(ClusterConfig.load({str(tmp_path / 'config')!r}))\n"
        "print(config.server, 'kubernetes_asyncio' in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: ASYNC221 - nothing else runs
    assert out.stdout.split() == ["https://dev:6443", "False"]
