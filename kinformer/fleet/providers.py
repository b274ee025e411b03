"""Providers: where a fleet learns which clusters there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeAlias, runtime_checkable

from kinformer.config import ClusterConfig
from kinformer.errors import ConfigError

__all__ = ["Clusters", "KubeconfigContexts", "KubeconfigDirectory", "Provider"]

_log = logging.getLogger("kinformer.fleet")

Clusters: TypeAlias = Mapping[str, ClusterConfig | ConfigError]
"""The clusters by name: how to reach each of them, or why its configuration cannot be used."""

POLL: Final = 5.0
"""Seconds between two looks at files."""

_SUFFIXES: Final = (".kubeconfig", ".yaml", ".yml", ".json", ".conf", ".config")


@runtime_checkable
class Provider(Protocol):
    """A source of clusters.

    It yields all clusters there are, once at the beginning and whenever they have changed. A name that is not in the
    newest mapping has left. A name whose configuration differs in its credentials only keeps its caches; with another
    address or other authorities it leaves and joins again. An entry that is a `ConfigError` shows in the status of the
    fleet; a cluster that has joined before keeps its last good configuration.

    If `clusters` raises, the fleet keeps the clusters that it has, logs the error, and calls it again after a while. If
    it ends, the clusters stay as they are.

        class FromDatabase:
            async def clusters(self) -> AsyncIterator[Clusters]:
                async for rows in changes():
                    yield {row.name: ClusterConfig.for_server(row.url, row.token) for row in rows}

    A provider may have an attribute `reads`: the resources that it lists and watches in the cluster of the program,
    each with its namespace ("" for all of them), such as `{SECRETS: "fleet"}`. `kinformer manifests` makes rights of
    it.
    """

    def clusters(self) -> AsyncIterator[Clusters]:
        """Yield all clusters, again after each change."""
        ...


class FixedClusters:
    """Clusters that never change."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = dict(clusters)

    async def clusters(self) -> AsyncIterator[Clusters]:
        """Yield them once."""
        yield self._clusters


class KubeconfigContexts:
    """The contexts of a kubeconfig, by their names. The files are followed.

    Exec plugins work, as they do for `kubectl`.

    Args:
        *contexts: the names of the contexts to use; all of them by default. One that does not exist shows as invalid.
        kubeconfig: the file, or several as in PATH; by default KUBECONFIG, else `~/.kube/config`.
        poll: seconds between two looks at the files.

    Raises:
        ValueError: `poll` is not more than 0.
        TypeError: a context is no text. The file is `kubeconfig=`.
    """

    def __init__(self, *contexts: str, kubeconfig: str | Path | None = None, poll: float = POLL) -> None:
        _check_poll(poll)
        for context in contexts:
            if not isinstance(context, str):
                msg = f"{context!r} is not the name of a context; a file is KubeconfigContexts(kubeconfig={context!r})"
                raise TypeError(msg)
        self._contexts = contexts
        self._kubeconfig = kubeconfig
        self._poll = poll

    async def clusters(self) -> AsyncIterator[Clusters]:
        """Yield the contexts when the files have changed.

        Raises:
            ConfigError: there is no kubeconfig, or it cannot be read.
        """
        before: object = None
        while True:
            state = await asyncio.to_thread(self._state)
            if state != before:
                before = state
                found: dict[str, ClusterConfig | ConfigError] = {**await ClusterConfig.load_contexts(self._kubeconfig)}
                wanted = self._contexts or tuple(found)
                yield {name: found.get(name) or _no_context(name, found) for name in wanted}
            await asyncio.sleep(self._poll)

    def _state(self) -> object:
        return [(path, _stamp(path)) for path in ClusterConfig.kubeconfig_paths(self._kubeconfig)]


class KubeconfigDirectory:
    """A directory of kubeconfig files: one cluster per file, named after the file. The directory is followed.

    The name is that of the file without `.kubeconfig`, `.yaml`, `.yml`, `.json`, `.conf` or `.config`. The current
    context of the file counts, or its only one. Files whose names begin with a dot are left out, so that a mounted
    Secret or ConfigMap works. Exec plugins work, so write access to the directory is the right to run
    programs here.

    A file that is removed is a cluster that leaves. A file that cannot be read, or is written just then, leaves the
    cluster as it was.

    Args:
        path: the directory.
        pattern: the files that count, as in `Path.glob`.
        poll: seconds between two looks at the directory.

    Raises:
        ValueError: `poll` is not more than 0.
    """

    def __init__(self, path: str | Path, *, pattern: str = "*", poll: float = POLL) -> None:
        _check_poll(poll)
        self._path = Path(path).expanduser()
        self._pattern = pattern
        self._poll = poll

    async def clusters(self) -> AsyncIterator[Clusters]:
        """Yield the clusters of the directory when files have changed.

        Raises:
            ConfigError: there is no such directory.
        """
        known: dict[Path, tuple[object, ClusterConfig | ConfigError]] = {}
        first = True
        while True:
            stamps = await asyncio.to_thread(self._stamps)
            changed = first or stamps.keys() != known.keys()
            for path, stamp in stamps.items():
                if path not in known or known[path][0] != stamp:
                    known[path] = (stamp, await _read(path))
                    changed = True
            for gone in known.keys() - stamps.keys():
                del known[gone]
            if changed:
                first = False
                yield _by_name({path: config for path, (_, config) in sorted(known.items())})
            await asyncio.sleep(self._poll)

    def _stamps(self) -> dict[Path, object]:
        if not self._path.is_dir():
            msg = f"{self._path} is no directory; it must hold one kubeconfig per cluster"
            raise ConfigError(msg)
        paths = [path for path in self._path.glob(self._pattern) if not path.name.startswith(".") and path.is_file()]
        return {path: _stamp(path) for path in paths}


def _check_poll(poll: float) -> None:
    if not poll > 0:
        msg = f"poll={poll!r} makes no sense: give the seconds between two looks at the files"
        raise ValueError(msg)


def _stamp(path: Path) -> object:
    """Return the identity and state of a file; `None` if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _no_context(name: str, found: Mapping[str, object]) -> ConfigError:
    known = ", ".join(found) or "none"
    # A name of a context may look like a path, so only a file that is there is taken for a slip.
    slip = f"; a file is KubeconfigContexts(kubeconfig={name!r})" if Path(name).expanduser().is_file() else ""
    return ConfigError(f"there is no context {name!r}; the contexts there are: {known}{slip}")


async def _read(path: Path) -> ClusterConfig | ConfigError:
    def read() -> ClusterConfig | ConfigError:
        try:
            return ClusterConfig.from_file(path)
        except ConfigError as error:
            return error

    return await asyncio.to_thread(read)


def _by_name(files: Mapping[Path, ClusterConfig | ConfigError]) -> Clusters:
    found: dict[str, ClusterConfig | ConfigError] = {}
    for path, config in files.items():
        name = next((path.name.removesuffix(end) for end in _SUFFIXES if path.name.endswith(end)), path.name)
        if not name or name in found:
            other = f"another file is cluster {name!r}" if name else "its name is a suffix only"
            found[path.name] = ConfigError(f"kubeconfig {path}: {other}; rename it")
        else:
            found[name] = config
    return found
