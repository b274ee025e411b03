"""Settings from the environment: proxies, and the service account of a pod."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = ["SERVICE_ACCOUNT", "kubeconfig_paths", "proxy_for", "service_url"]

# Where the kubelet mounts the token, the CA and the namespace (client-go, rest.InClusterConfig).
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def service_url() -> str | None:
    """Return the API server's address that the kubelet gives to every container, or `None` outside of a cluster."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def kubeconfig_paths() -> list[Path]:
    """Return the files that KUBECONFIG names now, in order; empty when it is unset or empty."""
    return [Path(part).expanduser() for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]


def proxy_for(url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY (either case) name for a URL.

    The rules are Go's (golang.org/x/net/http/httpproxy), and so kubectl's: never for localhost and loopback
    addresses, and NO_PROXY takes "*", names with all their subdomains, addresses and networks (10.0.0.0/8).
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    name = f"{parts.scheme}_proxy"
    proxy = os.environ.get(name) or os.environ.get(name.upper())
    if not proxy or host == "localhost":
        return None
    address = _address(host)
    if address is not None and address.is_loopback:
        return None
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if any(_excepted(rule.strip().lower(), host, address, parts.port) for rule in exceptions.split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _excepted(
    rule: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int | None
) -> bool:
    if rule == "*":
        return True
    if not rule:
        return False
    if address is not None and "/" in rule:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, colon, number = rule.rpartition(":")
    if colon and number.isdigit() and (":" not in name or name.endswith("]")):
        if port is None or int(number) != port:
            return False
        rule = name
    rule = rule.strip("[]").removeprefix("*")
    if address is not None:
        return _address(rule) == address
    # ".example.com" means its subdomains alone, "example.com" itself as well.
    return host == rule or host.endswith("." + rule.removeprefix("."))
