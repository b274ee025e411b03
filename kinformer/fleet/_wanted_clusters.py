"""The newest answer of a provider: the clusters that a fleet keeps, and the ones that it cannot use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kinformer.config import ClusterConfig
from kinformer.errors import ConfigError
from kinformer.fleet.status import ClusterState, ClusterStatus

if TYPE_CHECKING:
    from kinformer.fleet.providers import Clusters

_log: Final = logging.getLogger("kinformer.fleet")

_LONGEST_NAME: Final = 253
"""Characters in the name of a cluster, as in the name of a Kubernetes object."""


class WantedClusters:
    """The clusters of the newest answer, each with its configuration or the reason why it has none.

    Args:
        fleet_name: the name of the fleet in logs.

    Attributes:
        configs: the configuration of each cluster that the fleet keeps. A cluster whose newest configuration is
            unusable keeps its last good one, because a file may be half written.
        refused: why a name cannot be the name of a cluster, by its `repr`.
    """

    def __init__(self, fleet_name: str) -> None:
        self._fleet_name = fleet_name
        self.configs: dict[str, ClusterConfig] = {}
        self.refused: dict[str, str] = {}
        self._invalid: dict[str, tuple[ConfigError, float]] = {}

    def take(self, clusters: Clusters, now: float) -> dict[str, ConfigError]:
        """Take an answer in place of the one before. The log names each cluster that becomes unusable.

        Returns:
            The clusters that keep their last good configuration, with the error of their newest.

        Raises:
            TypeError: this is no mapping.
        """
        if not isinstance(clusters, Mapping):
            msg = f"a provider yields mappings from names to configurations, not {type(clusters).__name__}"
            raise TypeError(msg)
        wanted: dict[str, ClusterConfig] = {}
        invalid: dict[str, tuple[ConfigError, float]] = {}
        refused: dict[str, str] = {}
        for name, config in clusters.items():
            fault = _fault_of(name)
            if fault:
                refused[repr(name)[:100]] = fault
            elif isinstance(config, ClusterConfig):
                wanted[name] = config
            else:
                error: object = config
                if not isinstance(error, ConfigError):
                    error = ConfigError(f"a {type(config).__name__} is no ClusterConfig")
                invalid[name] = (error, self._invalid[name][1] if name in self._invalid else now)
        kept: dict[str, ConfigError] = {}
        for name, (error, _) in invalid.items():
            if name in self.configs:
                wanted[name] = self.configs[name]
                kept[name] = error
            if name not in self._invalid:
                _log.warning("fleet %s: cluster %r cannot be used: %s", self._fleet_name, name, error)
        for name in refused.keys() - self.refused.keys():
            _log.warning("fleet %s: %s is no name of a cluster: %s", self._fleet_name, name, refused[name])
        self.configs, self.refused = wanted, refused
        self._invalid = {name: found for name, found in invalid.items() if name not in wanted}
        return kept

    def invalid(self) -> dict[str, ClusterStatus]:
        """Return the status of each cluster that never had a usable configuration."""
        return {name: _invalid(name, *found) for name, found in self._invalid.items()}


def _fault_of(name: object) -> str:
    """Return why this cannot be the name of a cluster; "" if it can."""
    if not isinstance(name, str):
        return f"it is a {type(name).__name__}, not a string"
    if not name or len(name) > _LONGEST_NAME:
        return f"it has {len(name)} characters; expected 1 to {_LONGEST_NAME}"
    return "" if name.isprintable() else "it has characters that cannot be printed"


def _invalid(name: str, error: ConfigError, since: float) -> ClusterStatus:
    return ClusterStatus(
        name=name,
        server="",
        state=ClusterState.INVALID,
        since=since,
        error=error,
        failures=0,
        retry_at=None,
        uid="",
        same_as="",
        tried=True,
        objects=0,
        informers={},
        controllers={},
    )
