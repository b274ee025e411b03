"""The files: the same objects in plain YAML and in the chart, and the author's own files."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kinformer.manifests import OWN_NAMESPACE, files_of
from kinformer.manifests._files import HEADER
from tests.unit.manifests.operators import led, planned, with_own_certificate


def documents(text: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(text) if each]


@pytest.mark.parametrize("make", [led, with_own_certificate])
async def test_the_namespace_stands_everywhere_in_plain_yaml_and_nowhere_in_the_chart(make: Any) -> None:
    files = files_of(planned(make()), "ops")
    assert not [path for path, file in files.items() if OWN_NAMESPACE in file.text]
    in_chart = [path for path, file in files.items() if path.startswith("chart/") and "namespace: ops" in file.text]
    assert in_chart == []
    assert "namespace: {{ .Release.Namespace }}" in files["chart/templates/deployment.yaml"].text


async def test_the_kustomizations_name_each_file_and_no_other() -> None:
    files = files_of(planned(led()), "ops")
    for folder in ("base", "monitoring"):
        (kustomization,) = documents(files[f"{folder}/kustomization.yaml"].text)
        beside = {path.removeprefix(f"{folder}/") for path in files if path.startswith(f"{folder}/")}
        assert set(kustomization["resources"]) == beside - {"kustomization.yaml"}
    (overlay,) = documents(files["overlay/kustomization.yaml"].text)
    assert overlay["resources"] == ["../base"]


async def test_the_namespace_default_is_not_made() -> None:
    assert "base/namespace.yaml" not in files_of(planned(led()), "default")


async def test_each_file_says_to_whom_it_belongs() -> None:
    files = files_of(planned(led()), "ops")
    yours = {path for path, file in files.items() if file.is_yours}
    assert yours == {"overlay/kustomization.yaml", "values.yaml", "Containerfile"}
    assert all(file.text.startswith(HEADER) is not file.is_yours for file in files.values())


async def test_the_image_runs_the_target_that_the_deployment_names() -> None:
    files = files_of(planned(led()), "ops")
    (deployment,) = documents(files["base/deployment.yaml"].text)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", "sites.main"]
    assert 'CMD ["run", "sites.main"]' in files["Containerfile"].text
    assert 'ENTRYPOINT ["/venv/bin/kinformer"]' in files["Containerfile"].text
