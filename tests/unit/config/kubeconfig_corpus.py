"""Kubeconfig files, good and bad: what each says is compared with client-go and kubectl (`test_kubectl_agrees`).

`CORPUS` maps a description to the texts of the files, in the order of KUBECONFIG. A text of `None` is a file that does
not exist. `FILES` are other files in the same directory, which the texts refer to.
"""

# ruff: noqa: E501 - a file is a line

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import trustme

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CERTIFICATE", "CORPUS", "DELIBERATE", "FILES", "KEY", "written"]

_LEAF: Final = trustme.CA().issue_cert("kinformer-tests")
CERTIFICATE: Final = _LEAF.cert_chain_pems[0].bytes().decode()
KEY: Final = _LEAF.private_key_pem.bytes().decode()

FILES: Final[dict[str, bytes]] = {
    "ca.pem": CERTIFICATE.encode(),
    "client.pem": CERTIFICATE.encode(),
    "client.key": KEY.encode(),
    "token": b"from-file\n",
    "commented.pem": "# Főtanúsítvány\n".encode() + CERTIFICATE.encode() + "# Société\n".encode("latin-1"),
    "empty.pem": b"",
    "no-certificate.pem": b"# nothing\n",
}

BASE: Final = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""
OTHER: Final = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://10.0.0.2:6443", insecure-skip-tls-verify: true}}, {name: d, cluster: {server: "https://10.0.0.3:6443"}}]
users: [{name: u, user: {username: other, password: p}}, {name: v, user: {token: other}}]
contexts: [{name: x, context: {cluster: d, user: v, namespace: other}}, {name: z, context: {cluster: d, user: v}}]
current-context: z
"""


def b64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def user(text: str) -> list[str | None]:
    return [BASE.replace("token: t", text)]


def cluster(text: str) -> list[str | None]:
    return [BASE.replace('6443"}', f'6443", {text}}}')]


def server(url: str, more: str = "") -> list[str | None]:
    return [BASE.replace("https://10.0.0.1:6443", url).replace("token: t", "").replace('"}}]', f'"{more}}}}}]', 1)]


def context(text: str) -> list[str | None]:
    return [BASE.replace("user: u}", f"user: u, {text}}}")]


def exec_(text: str) -> list[str | None]:
    return user(
        "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: nothing" + text + "}"
    )


def as_json(value: Any, **how: Any) -> str:
    return json.dumps(value, **how)


_JSON: Final = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "x",
}
_PEM: Final = b64(CERTIFICATE)
_KEY: Final = b64(KEY)

CORPUS: Final[dict[str, list[str | None]]] = {
    # Files
    "plain": [BASE],
    "empty file alone": [""],
    "empty file first": ["", BASE],
    "empty file last": [BASE, ""],
    "only a comment first": ["# nothing yet\n", BASE],
    "only spaces first": ["  \n\n", BASE],
    "only a document marker first": ["---\n", BASE],
    "null": ["null\n", BASE],
    "a word": ["hello\n", BASE],
    "a list": ["- a\n", BASE],
    "a number": ["5\n", BASE],
    "an empty mapping": ["{}\n", BASE],
    "null lists first": ['apiVersion: v1\nkind: Config\nclusters: null\ncontexts: null\nusers: null\ncurrent-context: ""\npreferences: {}\n', BASE],
    "no lists at all, first": ["apiVersion: v1\nkind: Config\n", BASE],
    "a missing file first": [None, BASE],
    "a missing file last": [BASE, None],
    "a broken file last": [BASE, "clusters: ["],
    "a broken type in the last file, of a cluster not used": [BASE, OTHER.replace("insecure-skip-tls-verify: true", 'insecure-skip-tls-verify: "true"')],
    # Merging
    "two files, all names in both": [BASE, OTHER],
    "two files, the other way around": [OTHER, BASE],
    "current context in the second file only": [BASE.replace("current-context: x\n", ""), OTHER],
    "current context empty in the first": [BASE.replace("current-context: x", 'current-context: ""'), OTHER],
    "current context only in the first, context in the second": ["apiVersion: v1\nkind: Config\ncurrent-context: x\n", BASE.replace("current-context: x\n", "")],
    "cluster in another file than the context": [BASE.split("users:")[0], "users:" + BASE.split("users:")[1]],
    "the same file twice": [BASE, BASE],
    "an empty entry first, a full one of the same name second": ["clusters: [{name: c}]\nusers: [{name: u}]\n", BASE],
    "an entry of parts in two files": ["users: [{name: u, user: {as: jane}}]\n", BASE],
    "three files": ["current-context: z\n", "", OTHER],
    # Names and entries
    "user: null": [BASE.replace("user: {token: t}", "user: null")],
    "user entry without user": [BASE.replace("{name: u, user: {token: t}}", "{name: u}")],
    "entries that are null": [BASE.replace("users: [", "users: [null, ")],
    "an entry without a name": [BASE.replace("users: [", "users: [{user: {token: z}}, ")],
    "an entry that is a text": [BASE.replace("users: [", "users: [z, ")],
    "users is a mapping": [BASE.replace("users: [{name: u, user: {token: t}}]", "users: {u: {token: t}}")],
    "users is a text": [BASE.replace("users: [{name: u, user: {token: t}}]", "users: u")],
    "cluster is a text": [BASE.replace('cluster: {server: "https://10.0.0.1:6443"}', "cluster: c")],
    "cluster is null": [BASE.replace('cluster: {server: "https://10.0.0.1:6443"}', "cluster: null")],
    "context without user": [BASE.replace(", user: u}", "}")],
    "context user empty string": [BASE.replace("user: u}", 'user: ""}')],
    "users missing, context has no user": [BASE.replace("users: [{name: u, user: {token: t}}]\n", "").replace(", user: u}", "}")],
    "a missing user": [BASE.replace("user: u}", "user: w}")],
    "cluster that is not there": [BASE.replace("cluster: c,", "cluster: w,")],
    "context without cluster": [BASE.replace("cluster: c, ", "")],
    "current context that is not there": [BASE.replace("current-context: x", "current-context: w")],
    "names are numbers": [BASE.replace("name: c", "name: 1").replace("cluster: c", "cluster: 1")],
    "names are numbers in quotes": [BASE.replace("name: c", 'name: "1"').replace("cluster: c", 'cluster: "1"')],
    "names are YAML booleans": [BASE.replace("name: c,", "name: on,").replace("cluster: c,", "cluster: on,")],
    "name is y": [BASE.replace("name: c,", "name: y,").replace("cluster: c,", "cluster: y,")],
    "name is N": [BASE.replace("name: c,", "name: N,").replace("cluster: c,", "cluster: N,")],
    "name is ~": [BASE.replace("name: c,", "name: ~,")],
    "duplicate names, same file": [BASE.replace("clusters: [", 'clusters: [{name: c, cluster: {server: "https://10.0.0.9:6443"}}, ')],
    "duplicate users, same file": [BASE.replace("users: [", "users: [{name: u, user: {}}, ")],
    "duplicate contexts, same file": [BASE.replace("contexts: [", "contexts: [{name: x, context: {}}, ")],
    "context name with slashes, colons": [BASE.replace("name: x,", 'name: "default/api-c-1:6443/kube:admin",').replace("current-context: x", 'current-context: "default/api-c-1:6443/kube:admin"')],
    "namespace": context("namespace: shop"),
    "namespace is a number": context("namespace: 123"),
    "namespace null": context("namespace: null"),
    "unknown fields everywhere": [BASE.replace("token: t", "token: t, shoe: 5").replace("kind: Config", "kind: Config\nhat: [1]")],
    "a field in capital letters": [BASE.replace("token: t", "Token: t")],
    "preferences is a text": [BASE + "preferences: none\n"],
    "preferences.colors is a text": [BASE + 'preferences: {colors: "yes"}\n'],
    # Version and kind
    "no apiVersion, no kind": [BASE.replace("apiVersion: v1\nkind: Config\n", "")],
    "no kind": [BASE.replace("kind: Config\n", "")],
    "no apiVersion": [BASE.replace("apiVersion: v1\n", "")],
    "apiVersion v2": [BASE.replace("apiVersion: v1", "apiVersion: v2")],
    "apiVersion is a number": [BASE.replace("apiVersion: v1", "apiVersion: 1")],
    "another kind": [BASE.replace("kind: Config", "kind: Pod")],
    "kind in small letters": [BASE.replace("kind: Config", "kind: config")],
    "apiVersion null": [BASE.replace("apiVersion: v1", "apiVersion: null")],
    # YAML
    "JSON": [as_json(_JSON)],
    "JSON, indented by tabs": [as_json(_JSON, indent="\t")],
    "JSON, escaped slashes": [as_json(_JSON).replace("/", "\\/")],
    "JSON, escaped letters": [as_json(_JSON).replace("Config", "\\u0043onfig")],
    "JSON, trailing comma": [as_json(_JSON).replace('"x"}', '"x",}')],
    "UTF-8 BOM": ["\ufeff" + BASE],
    "CRLF": [BASE.replace("\n", "\r\n")],
    "starts with ---": ["---\n" + BASE],
    "starts with a directive": ["%YAML 1.1\n---\n" + BASE],
    "ends with ...": [BASE + "...\n"],
    "two documents": [BASE + "---\napiVersion: v1\nkind: Config\n"],
    "two documents, the first empty": ["---\n---\n" + BASE],
    "two documents, the second broken": [BASE + "---\na: [\n"],
    "duplicate key": [BASE + "current-context: x\n"],
    "duplicate key with another value": [BASE.replace("token: t", "token: t, token: s")],
    "tabs in block style": [BASE + "preferences:\n\tcolors: true\n"],
    "anchors and aliases": ['x: &s "https://10.0.0.1:6443"\n' + BASE.replace('"https://10.0.0.1:6443"', "*s")],
    "an alias that is not defined": [BASE.replace('"https://10.0.0.1:6443"', "*s")],
    "merge key": [BASE.replace("users: [{name: u, user: {token: t}}]", "k: &k {token: t}\nusers: [{name: u, user: {<<: *k}}]")],
    "an anchor that contains itself": ["z: &z [*z]\n" + BASE],
    "not closed": ["clusters: [\n"],
    "a control character": [BASE.replace("token: t", 'token: "t\x01"')],
    "block text as a token": [BASE.replace("users: [{name: u, user: {token: t}}]", "users:\n- name: u\n  user:\n    token: |-\n      t")],
    "a tagged text": user("token: !!str 5"),
    "a tagged number": user('token: !!int "5"'),
    "a binary text": user("token: !!binary dA=="),
    "a set": [BASE + "preferences: !!set {a, b}\n"],
    "a local tag": user("token: !mine t"),
    "a key that is a number": [BASE + "5: 6\n"],
    "a key that is a list": [BASE + "? [a]\n: b\n"],
    # Scalars: what YAML makes of a token that is not in quotes
    "token is a number": user("token: 12345"),
    "token is a date": user("token: 2024-01-01"),
    "token is a time": user("token: 2024-01-01T10:00:00Z"),
    "token is sexagesimal": user("token: 12:30:45"),
    "token is a decimal": user("token: 1.5"),
    "token has an exponent, without a dot": user("token: 12e3"),
    "token has an exponent": user("token: 1.2e3"),
    "token is hexadecimal": user("token: 0x1F"),
    "token is octal": user("token: 0123"),
    "token is octal with an o": user("token: 0o17"),
    "token is binary": user("token: 0b11"),
    "token with underscores": user("token: 1_000"),
    "token that begins with an underscore": user("token: _1"),
    "token is .inf": user("token: .inf"),
    "token is .nan": user("token: .NaN"),
    "token is +5": user("token: +5"),
    "token is a dot": user("token: ."),
    "token is =": user("token: ="),
    "token is yes": user("token: yes"),
    "token is y": user("token: y"),
    "token is true": user("token: true"),
    "token is null": user("token: null"),
    "token is a big number": user("token: 123456789012345678901234567890"),
    "token is a list": user("token: [t]"),
    "token is a mapping": user("token: {t: t}"),
    "token empty": user('token: ""'),
    "password is octal": user("username: a, password: 0123"),
    # Clusters
    "insecure": cluster("insecure-skip-tls-verify: true"),
    "insecure as yes": cluster("insecure-skip-tls-verify: yes"),
    "insecure as a text": cluster('insecure-skip-tls-verify: "false"'),
    "insecure as the text true": cluster('insecure-skip-tls-verify: "true"'),
    "insecure as a number": cluster("insecure-skip-tls-verify: 0"),
    "insecure as one": cluster("insecure-skip-tls-verify: 1"),
    "insecure null": cluster("insecure-skip-tls-verify: null"),
    "insecure as a list": cluster("insecure-skip-tls-verify: []"),
    "insecure and an authority": cluster(f"insecure-skip-tls-verify: true, certificate-authority-data: {_PEM}"),
    "insecure and an authority's file": cluster("insecure-skip-tls-verify: true, certificate-authority: ca.pem"),
    "authority data": cluster(f"certificate-authority-data: {_PEM}"),
    "authority data with a comment": cluster(f"certificate-authority-data: {b64(FILES['commented.pem'])}"),
    "authority data with line breaks": cluster('certificate-authority-data: "' + _PEM[:64] + "\\n" + _PEM[64:] + '\\n"'),
    "authority data with spaces": cluster('certificate-authority-data: "' + _PEM[:64] + " " + _PEM[64:] + '"'),
    "authority data that is no base64": cluster('certificate-authority-data: "%%%"'),
    "authority data without padding": cluster("certificate-authority-data: YQ"),
    "authority data, URL-safe": cluster('certificate-authority-data: "__-_"'),
    "authority data that is no PEM": cluster("certificate-authority-data: YQ=="),
    "authority data a space": cluster('certificate-authority-data: " "'),
    "authority data empty": cluster('certificate-authority-data: ""'),
    "authority data null": cluster("certificate-authority-data: null"),
    "authority data a list of numbers": cluster("certificate-authority-data: [1, 2]"),
    "authority file": cluster("certificate-authority: ca.pem"),
    "authority file with comments": cluster("certificate-authority: commented.pem"),
    "authority file empty": cluster("certificate-authority: empty.pem"),
    "authority file without a certificate": cluster("certificate-authority: no-certificate.pem"),
    "authority file that is not there": cluster("certificate-authority: absent.pem"),
    "authority file with ~": cluster('certificate-authority: "~/ca.pem"'),
    "authority file and data": cluster(f"certificate-authority: ca.pem, certificate-authority-data: {_PEM}"),
    "server name": cluster("tls-server-name: kube"),
    "server name is a number": cluster("tls-server-name: 5"),
    "compression off": cluster("disable-compression: true"),
    "compression a text": cluster('disable-compression: "true"'),
    "extensions of minikube": cluster("extensions: [{name: cluster_info, extension: {provider: x}}]"),
    "extensions null": cluster("extensions: null"),
    "extensions is a mapping": cluster("extensions: {a: b}"),
    "proxy": cluster('proxy-url: "http://u:p@proxy.example.com:3128"'),
    "proxy empty": cluster('proxy-url: ""'),
    "proxy socks5": cluster('proxy-url: "socks5://127.0.0.1:1080"'),
    "proxy without scheme": cluster('proxy-url: "proxy.example.com:3128"'),
    "proxy ftp": cluster('proxy-url: "ftp://proxy.example.com"'),
    "proxy is a number": cluster("proxy-url: 5"),
    "proxy with a broken host": cluster('proxy-url: "http://user:pa55word@[::1"'),
    # Servers
    "server empty": server(""),
    "server http": server("http://10.0.0.1:8080"),
    "server http with a token": [BASE.replace("https://", "http://")],
    "server without a scheme, and a token": [BASE.replace("https://", "")],
    "server without a scheme": server("10.0.0.1:6443"),
    "server without a scheme, with an authority": server("10.0.0.1:6443", f", certificate-authority-data: {_PEM}"),
    "server without a scheme, insecure": server("10.0.0.1:6443", ", insecure-skip-tls-verify: true"),
    "server localhost:8080 without a scheme": server("localhost:8080"),
    "server a name without a scheme and port": server("kube.example.com"),
    "server without a scheme, with a path": server("kube.example.com/k8s/clusters/a"),
    "server IPv6": server("https://[fd00::1]:6443"),
    "server with a path (Rancher)": server("https://rancher.example.com/k8s/clusters/c-m-abc/"),
    "server with upper-case scheme": server("HTTPS://10.0.0.1:6443"),
    "server with a broken port": server("https://10.0.0.1:port"),
    "server with spaces": server("https://10.0.0.1 :6443"),
    "server with a space in front": server(" https://10.0.0.1:6443"),
    # Users
    "user name and password": user("username: ada, password: p"),
    "user name alone": user("username: ada"),
    "password alone": user("password: p"),
    "token and user name": user("token: t, username: ada, password: p"),
    "token file": user("tokenFile: token"),
    "token file and token": user("tokenFile: token, token: t"),
    "token and exec both": user("token: t, exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: nothing}"),
    "certificate and key, data": user(f"client-certificate-data: {_PEM}, client-key-data: {_KEY}"),
    "certificate and key, files": user("client-certificate: client.pem, client-key: client.key"),
    "certificate file, key data": user(f"client-certificate: client.pem, client-key-data: {_KEY}"),
    "certificate file and data": user(f"client-certificate: client.pem, client-certificate-data: {_PEM}, client-key-data: {_KEY}"),
    "certificate without key": user(f"client-certificate-data: {_PEM}"),
    "key without certificate": user(f"client-key-data: {_KEY}"),
    "certificate file that is not there": user("client-certificate: absent.pem, client-key: client.key"),
    "certificate that is no PEM": user("client-certificate-data: YQ==, client-key-data: YQ=="),
    "certificate and token": user(f"token: t, client-certificate-data: {_PEM}, client-key-data: {_KEY}"),
    "as": user("token: t, as: jane"),
    "as is a number": user("token: t, as: 5"),
    "as-groups": user("token: t, as: jane, as-groups: [admins, devs]"),
    "as-groups a text": user("token: t, as: me, as-groups: admins"),
    "as-groups null": user("token: t, as: me, as-groups: null"),
    "as-groups of numbers": user("token: t, as: me, as-groups: [1]"),
    "as-groups without as": user("token: t, as-groups: [a]"),
    "as-uid without as": user("token: t, as-uid: a"),
    "as-uid": user("token: t, as: me, as-uid: a"),
    "as-user-extra": user("token: t, as: me, as-user-extra: {why: [because, so]}"),
    "as-user-extra a text": user("token: t, as: me, as-user-extra: {why: because}"),
    "as-user-extra a list": user("token: t, as: me, as-user-extra: [x]"),
    # Exec plugins and auth providers
    "exec": exec_(", args: [a, b], env: [{name: A, value: b}]"),
    "exec null": user("token: t, exec: null"),
    "exec a text": user("exec: aws"),
    "exec empty": user("exec: {}"),
    "exec without command": user("exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}"),
    "exec without apiVersion": user("exec: {command: nothing, interactiveMode: Never}"),
    "exec of an unknown apiVersion": user("exec: {apiVersion: v1, command: nothing, interactiveMode: Never}"),
    "exec v1beta1 without interactiveMode": user("exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: nothing}"),
    "exec v1 without interactiveMode": user("exec: {apiVersion: client.authentication.k8s.io/v1, command: nothing}"),
    "exec v1alpha1": user("exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: nothing}"),
    "exec of an unknown interactiveMode": user("exec: {apiVersion: client.authentication.k8s.io/v1, command: nothing, interactiveMode: never}"),
    "exec args null": exec_(", args: null"),
    "exec args a text": exec_(", args: a"),
    "exec args with true": exec_(", args: [true]"),
    "exec args with a number": exec_(", args: [1.0]"),
    "exec env null": exec_(", env: null"),
    "exec env a mapping": exec_(", env: {A: b}"),
    "exec env entry without value": exec_(", env: [{name: A}]"),
    "exec env entry without name": exec_(", env: [{value: b}]"),
    "exec env value null": exec_(", env: [{name: A, value: null}]"),
    "exec env value true": exec_(", env: [{name: A, value: true}]"),
    "exec env value a number": exec_(", env: [{name: A, value: 8}]"),
    "exec provideClusterInfo a text": exec_(', provideClusterInfo: "true"'),
    "exec installHint a number": exec_(", installHint: 5"),
    "exec with a slash": [*user("exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: ./plugin}")],
    "exec and auth-provider": user("auth-provider: {name: oidc, config: {client-id: a, idp-issuer-url: https://x}}, exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: nothing}"),
    "auth-provider azure, and a token": user("token: t, auth-provider: {name: azure, config: {}}"),
    "auth-provider gcp": user("auth-provider: {name: gcp, config: {access-token: t}}"),
    "auth-provider gcp, config null": user("auth-provider: {name: gcp, config: null}"),
    "auth-provider unknown": user("auth-provider: {name: mine}"),
    "auth-provider a text": user("auth-provider: oidc"),
    "auth-provider of a number": user("auth-provider: {name: oidc, config: {client-id: 5}}"),
    "auth-provider null": user("token: t, auth-provider: null"),
}  # fmt: skip

DELIBERATE: Final[dict[str, str]] = {
    "a missing user": "client-go then sends no credentials; a name that leads nowhere is a mistake",
    "authority file empty": "client-go then trusts the system's authorities, which is not what the file says",
    "JSON, escaped slashes": "JSON allows the escape, Go's YAML parser does not; nothing else can be meant",
    "proxy socks5": "no SOCKS proxy can be used",
    "exec v1 without interactiveMode": "common in kubeconfigs; it means IfAvailable, as in v1beta1",
    "server http with a token": "client-go sends credentials over https only; a file with http:// and a token asks for both",
}
"""The cases in which the verdict or a value is another than client-go's, and why."""


def written(folder: Path, case: str) -> list[Path]:
    """Write the files of a case, and those they refer to; returns the paths that KUBECONFIG names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    paths = [folder / f"{place}.yaml" for place in range(len(CORPUS[case]))]
    for path, text in zip(paths, CORPUS[case], strict=True):
        if text is not None:
            path.write_bytes(text.encode())
    return paths
