"""The objects of a deployment as a Helm chart: the same objects, with values in some places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from kinformer._display.yaml_text import yaml_of
from kinformer.manifests._objects import RESOURCES, Manifest, Objects, placed, service_monitor
from kinformer.manifests._plan import OWN_NAMESPACE

if TYPE_CHECKING:
    from kinformer.manifests._plan import Plan

__all__ = ["chart_of"]

_CONDITIONS: Final = {
    "crds.yaml": "crds.install",
    "disruption-budget.yaml": "podDisruptionBudget.enabled",
    "network-policy.yaml": "networkPolicy.enabled",
    "service-monitor.yaml": "serviceMonitor.enabled",
}
"""The value that decides whether the objects of a file are installed."""

_VALUES: Final = """\
image:
  repository: registry.example.com/NAME
  tag: "" # by default the appVersion of the chart
imagePullSecrets: []
replicas: REPLICAS
resources:
RESOURCES
env: []
podAnnotations: {}
nodeSelector: {}
tolerations: []
affinity: {}
serviceAccount:
  annotations: {}
crds:
  install: true # they stay when the release is uninstalled
podDisruptionBudget:
  enabled: true
networkPolicy:
  enabled: true
MONITOR"""

_CHART: Final = """\
apiVersion: v2
name: NAME
description: The operator NAME
type: application
version: 0.1.0 # helm package --version
appVersion: latest # helm package --app-version
"""


def chart_of(plan: Plan, objects: Objects) -> dict[str, str]:
    """Return the files of the chart, by their path in it."""
    monitor = "serviceMonitor:\n  enabled: false # true where the Prometheus operator is\n" if plan.port else ""
    resources = "".join(f"  {line}\n" for line in yaml_of(placed([RESOURCES], "")[0]).splitlines()).rstrip("\n")
    values = _VALUES.replace("RESOURCES", resources).replace("REPLICAS", str(plan.replicas)).replace("MONITOR", monitor)
    found = {"Chart.yaml": _CHART.replace("NAME", plan.name), "values.yaml": values.replace("NAME", plan.name)}
    if plan.port:
        objects = objects | {"service-monitor.yaml": [service_monitor(plan)]}
    for file, manifests in objects.items():
        text = "---\n".join(_template(manifest) for manifest in placed(manifests, OWN_NAMESPACE))
        if condition := _CONDITIONS.get(file):
            text = f"{{{{- if .Values.{condition} }}}}\n{text}{{{{- end }}}}\n"
        found[f"templates/{file}"] = text
    return found


def _template(manifest: Manifest) -> str:
    """Return the text of a template; `manifest` is changed."""
    match manifest["kind"]:
        case "CustomResourceDefinition":
            annotations = manifest["metadata"].setdefault("annotations", {})
            annotations["helm.sh/resource-policy"] = "keep"
        case "ServiceAccount":
            manifest["metadata"]["annotations"] = _block("serviceAccount.annotations")
        case "Deployment":
            _with_values(manifest["spec"])
    text = yaml_of(manifest).replace("{{", '{{ "{{" }}').replace(OWN_NAMESPACE, "{{ .Release.Namespace }}")
    if manifest["kind"] not in {"Deployment", "ServiceAccount"}:
        return text
    text = text.replace("x-image", "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}")
    text = text.replace("x-replicas", "{{ .Values.replicas }}")
    text = re.sub(r"^( *)(\w+): x-block-([\w.]+)$", _render_block, text, flags=re.MULTILINE)
    return re.sub(r"^( *)- x-items-([\w.]+)$", _render_items, text, flags=re.MULTILINE)


def _with_values(spec: dict[str, Any]) -> None:
    spec["replicas"] = "x-replicas"
    spec["template"]["metadata"]["annotations"] = _block("podAnnotations")
    pod = spec["template"]["spec"]
    for value in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity"):
        pod[value] = _block(value)
    (container,) = pod["containers"]
    container["image"] = "x-image"
    container["resources"] = _block("resources")
    container["env"] = [*container.get("env", ()), "x-items-env"]


def _block(value: str) -> str:
    return f"x-block-{value}"


def _render_block(found: re.Match[str]) -> str:
    indent, key, value = found.groups()
    return f"{indent}{key}:\n{indent}  {{{{- toYaml .Values.{value} | nindent {len(indent) + 2} }}}}"


def _render_items(found: re.Match[str]) -> str:
    indent, value = found.groups()
    lines = (f"{{{{- with .Values.{value} }}}}", f"{{{{- toYaml . | nindent {len(indent)} }}}}", "{{- end }}")
    return "\n".join(f"{indent}{line}" for line in lines)
