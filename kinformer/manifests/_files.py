"""The files of a deployment: plain YAML with kustomize, a Helm chart, and the files that belong to the author."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kinformer._display.yaml_text import yaml_of
from kinformer.manifests._chart import chart_of
from kinformer.manifests._objects import Objects, objects_of, placed, service_monitor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kinformer.manifests._plan import Plan

__all__ = ["HEADER", "File", "files_of"]

HEADER: Final = (
    "# Made by `kinformer manifests`, which overwrites changes. Yours are overlay/, values.yaml and Containerfile.\n"
)

_YOURS: Final = "# Yours: `kinformer manifests` wrote it once, and does not change it.\n"

_OVERLAY: Final = """\
# kubectl apply -k overlay
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../base]
# components: [../monitoring] # a ServiceMonitor, where the Prometheus operator is
images:
- {name: NAME, newName: registry.example.com/NAME, newTag: latest}
replicas:
- {name: NAME, count: REPLICAS}
# patches:
# - target: {kind: Deployment, name: NAME}
#   patch: |-
#     - {op: replace, path: /spec/template/spec/containers/0/resources/limits/memory, value: 512Mi}
"""

_VALUES: Final = """\
# helm upgrade --install NAME chart --namespace NAMESPACE --create-namespace --values values.yaml
# All values: chart/values.yaml
image:
  repository: registry.example.com/NAME
  tag: latest
"""

_CONTAINERFILE: Final = """\
# podman build -f Containerfile -t registry.example.com/NAME:latest .
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /venv /venv
USER 65532:65532
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A list: in the text form a shell would get SIGTERM in place of the operator.
ENTRYPOINT ["/venv/bin/kinformer"]
CMD ["run", "TARGET"]
"""


class File(NamedTuple):
    """One file.

    Attributes:
        text: the content.
        is_yours: whether it belongs to the author: it is written once and never changed.
    """

    text: str
    is_yours: bool = False


def files_of(plan: Plan, namespace: str) -> dict[str, File]:
    """Return the files by their path in the folder.

    Args:
        plan: the plan.
        namespace: the namespace of the operator, for plain YAML; a chart gets it from Helm.
    """
    objects = objects_of(plan)
    texts = {f"base/{path}": text for path, text in _base(objects, namespace).items()}
    if plan.port:
        monitor = placed([service_monitor(plan)], namespace)
        component = _kustomization("v1alpha1", "Component", ["service-monitor.yaml"])
        texts |= {
            "monitoring/service-monitor.yaml": _text(monitor),
            "monitoring/kustomization.yaml": _text([component]),
        }
    texts |= {f"chart/{path}": text for path, text in chart_of(plan, objects).items()}
    yours = {"overlay/kustomization.yaml": _OVERLAY, "values.yaml": _VALUES, "Containerfile": _CONTAINERFILE}
    filled = {"NAMESPACE": namespace, "NAME": plan.name, "REPLICAS": str(plan.replicas), "TARGET": plan.target}
    found = {path: File(HEADER + text) for path, text in texts.items()}
    for path, template in yours.items():
        text = template
        for word, value in filled.items():
            text = text.replace(word, value)
        found[path] = File(_YOURS + text, is_yours=True)
    return found


def _base(objects: Objects, namespace: str) -> dict[str, str]:
    found = {}
    if namespace != "default":
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": namespace, "labels": labels}
        found["namespace.yaml"] = _text([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
    found |= {file: _text(placed(manifests, namespace)) for file, manifests in objects.items()}
    found["kustomization.yaml"] = _text([_kustomization("v1beta1", "Kustomization", found)])
    return found


def _kustomization(version: str, kind: str, files: Iterable[str]) -> dict[str, Any]:
    return {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind, "resources": list(files)}


def _text(manifests: Iterable[dict[str, Any]]) -> str:
    return "---\n".join(map(yaml_of, manifests))
