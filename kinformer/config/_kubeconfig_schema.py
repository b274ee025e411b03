"""The fields of a kubeconfig and their types, as kubectl has them (client-go, tools/clientcmd/api/v1/types.go).

A value of another type is refused, not converted: `insecure-skip-tls-verify: "false"` is a text, and a text is neither
true nor false. As in Go, `null` is the same as no value, and names of fields are case-sensitive. Unknown fields are
allowed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from kinformer.errors import ConfigError

__all__ = [
    "AuthInfo",
    "AuthProviderConfig",
    "Cluster",
    "Content",
    "Context",
    "ExecConfig",
    "checked",
    "decoded",
    "typed",
]

T = TypeVar("T")


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A part of a kubeconfig. Its `repr` shows no value, since many are secret."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class NamedExtension(_Part, frozen=True):
    """An entry of `extensions`."""

    name: str | None = None
    extension: Any = None


class Cluster(_Part, frozen=True):
    """The address of an API server, and the rules by which it is verified."""

    server: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None
    disable_compression: bool | None = None
    extensions: list[NamedExtension | None] | None = None


class EnvironmentVariable(_Part, frozen=True):
    """An entry of `env` of an exec plugin."""

    name: str | None = None
    value: str | None = None


class ExecConfig(_Part, frozen=True, rename="camel"):
    """The exec plugin of a user."""

    command: str | None = None
    args: list[str | None] | None = None
    env: list[EnvironmentVariable | None] | None = None
    api_version: str | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class AuthProviderConfig(_Part, frozen=True):
    """The legacy auth provider of a user."""

    name: str | None = None
    config: dict[str, str | None] | None = None


class AuthInfo(_Part, frozen=True):
    """The credentials of a user."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    as_user: str | None = msgspec.field(default=None, name="as")
    as_uid: str | None = None
    as_groups: list[str | None] | None = None
    as_user_extra: dict[str, list[str | None] | None] | None = None
    username: str | None = None
    password: str | None = None
    auth_provider: AuthProviderConfig | None = None
    exec: ExecConfig | None = None
    extensions: list[NamedExtension | None] | None = None


class Context(_Part, frozen=True):
    """A cluster, a user and a namespace."""

    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None
    extensions: list[NamedExtension | None] | None = None


class NamedCluster(_Part, frozen=True):
    """An entry of `clusters`."""

    name: str | None = None
    cluster: Cluster | None = None


class NamedUser(_Part, frozen=True):
    """An entry of `users`."""

    name: str | None = None
    user: AuthInfo | None = None


class NamedContext(_Part, frozen=True):
    """An entry of `contexts`."""

    name: str | None = None
    context: Context | None = None


class Preferences(_Part, frozen=True):
    """Not used by anything, and checked by kubectl all the same."""

    colors: bool | None = None
    extensions: list[NamedExtension | None] | None = None


class Content(_Part, frozen=True):
    """A whole kubeconfig."""

    api_version: str | None = msgspec.field(default=None, name="apiVersion")
    kind: str | None = None
    current_context: str | None = None
    clusters: list[NamedCluster | None] | None = None
    users: list[NamedUser | None] | None = None
    contexts: list[NamedContext | None] | None = None
    preferences: Preferences | None = None
    extensions: list[NamedExtension | None] | None = None


_TYPES: Final = {
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
_COMPLAINT: Final = re.compile(
    r"Expected `(?P<wanted>\w+)(?: \| null)?`(?:, got `(?P<found>\w+)`)?(?: - at `\$\.?(?P<at>[^`]*)`)?"
)
_ENTRY: Final = re.compile(r"^(clusters|users|contexts)\[(\d+)\]\.?")


def typed(content: Any, kind: type[T], name: str) -> T:
    """Take plain values as a part of a kubeconfig.

    Args:
        content: mappings, lists and scalars.
        kind: the part that they are to be.
        name: the file or the entry, for the message.

    Raises:
        ConfigError: a value is of another type; names the field, its type, and the type that is expected.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        msg = f"{name}{_explained(str(error), content)}"
        raise ConfigError(msg) from None


def checked(content: Any, name: str) -> Content:
    """Take plain values as a kubeconfig, with all checks that kubectl makes when it loads one.

    Args:
        content: the plain values; `None` is an empty kubeconfig.
        name: the file, for the message.

    Raises:
        ConfigError: a value has a wrong type, a name is there twice, inline data is no base64, or this is another kind
            of file; names file, entry and field. No value is shown.
    """
    if content is None:
        return Content()
    result = typed(content, Content, name)
    if (result.api_version or "v1") != "v1" or (result.kind or "Config") != "Config":
        msg = f"{name} is no kubeconfig: expected apiVersion v1 and kind Config"
        raise ConfigError(msg)
    for entries, what in ((result.clusters, "cluster"), (result.users, "user"), (result.contexts, "context")):
        names = [entry.name or "" for entry in entries or () if entry is not None]
        twice = next((each for place, each in enumerate(names) if each in names[:place]), None)
        if twice is not None:
            msg = f"{name}: there are two entries for {what} {twice!r}; kubectl refuses such a file, so remove one"
            raise ConfigError(msg)
    for cluster in result.clusters or ():
        if cluster is not None and cluster.cluster is not None:
            _check_data(f"{name}: cluster {cluster.name!r}", cluster.cluster, "certificate_authority_data")
    for user in result.users or ():
        if user is not None and user.user is not None:
            _check_data(f"{name}: user {user.name!r}", user.user, "client_certificate_data", "client_key_data")
    return result


def decoded(data: str, field: str, where: str) -> bytes:
    """Decode inline data: base64 with padding, in which only line breaks are ignored, as in Go.

    Raises:
        ConfigError: the data is no base64.
    """
    try:
        return base64.b64decode(data.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        msg = f"{where}: {field} is not the base64 of PEM text"
        raise ConfigError(msg) from None


def _check_data(where: str, values: Any, *fields: str) -> None:
    for field in fields:
        data = getattr(values, field)
        if data:
            decoded(data, field.replace("_", "-"), where)


def _explained(complaint: str, content: Any) -> str:
    """Say in words which value is wrong; the name of the file comes before."""
    match = _COMPLAINT.match(complaint)
    if match is None:
        return ": the name of a field is no text; put it in quotes"
    wanted, found, at = match["wanted"], match["found"] or "", match["at"] or ""
    entry = _ENTRY.match(at)
    if not at:
        return " is no kubeconfig: expected a mapping with clusters, users and contexts"
    field = at[entry.end() :] if entry else at
    if entry:
        entries = content.get(entry[1]) if isinstance(content, Mapping) else None
        values = entries[int(entry[2])] if isinstance(entries, list) else None
        name = values.get("name") if isinstance(values, Mapping) else None
        # Where the name itself has a wrong type, the entry is named by its place.
        whose = f"{entry[1].removesuffix('s')} {name!r}" if isinstance(name, str) else f"{entry[1]}[{entry[2]}]"
        field = field.removeprefix(f"{entry[1].removesuffix('s')}.")
        field = f"{whose}: {field}" if field else whose
    remedy = ""
    if wanted == "str" and found in {"int", "float", "bool"}:
        remedy = "; put it in quotes"
    elif wanted == "bool" and found == "str":
        remedy = "; write it without quotes"
    return f": {field} is {_TYPES.get(found, found or 'something else')}, expected {_TYPES.get(wanted, wanted)}{remedy}"
