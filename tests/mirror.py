"""Find the tests of a module.

    python -m tests.mirror kinformer/cache/indexer.py ...

Prints the test files, so that they can be given to pytest. The tests of `kinformer/<package>/<module>.py` are in
`tests/unit/<package>/test_<module>.py`, without leading underscores. `ELSEWHERE` names the other files: those that run
a module over real sockets, in a browser or as a process, and those that test several modules as one unit.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = ROOT / "kinformer"
WITHOUT_TESTS = {"__init__", "__main__", "_version"}

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "_display/": ("tests/unit/display", "tests/unit/cli/test_printers.py", "tests/integrations/test_ui.py"),
    "_jitter.py": ("tests/unit/test_backoff.py",),
    "_connector.py": ("tests/wire/test_connector.py",),
    "_local_runner.py": ("tests/wire/test_local_runner.py",),
    "_own_certificates.py": ("tests/unit/webhooks/test_certificates.py", "tests/wire/test_proxy.py"),
    "_own_writes/": ("tests/unit/own_writes", "tests/wire/test_own_writes.py"),
    "_tasks.py": ("tests/unit/informer", "tests/unit/controller"),
    "cache/": ("tests/unit/cache", "tests/properties/test_indexer_machine.py"),
    "cache/_compact/": ("tests/unit/cache/compact", "tests/properties/test_indexer_machine.py"),
    "cache/_process_deltas.py": ("tests/unit/informer/test_shared_informer.py", "tests/properties/test_pipeline.py"),
    "cache/delta_fifo.py": ("tests/properties/test_delta_fifo_machine.py",),
    "cache/snapshot.py": ("tests/unit/informer/test_informer_control.py",),
    "cli/": ("tests/cli/test_get_and_watch.py",),
    "cli/_bench.py": ("tests/cli/test_bench.py",),
    "cli/_bench_view.py": ("tests/cli/test_bench.py",),
    "cli/_completion.py": ("tests/cli/test_completion.py",),
    "cli/_connect.py": ("tests/cli/test_bench.py", "tests/cli/test_get_and_watch.py"),
    "cli/_object_types/": ("tests/unit/cli/test_object_types.py", "tests/type_checkers/test_types.py"),
    "cli/_simulated/": ("tests/cli/test_demo.py", "tests/cli/test_simulation.py"),
    "cli/_top.py": ("tests/cli/test_top.py",),
    "cli/_ui.py": ("tests/cli/test_ui.py",),
    "client/": ("tests/unit/client", "tests/wire/test_verbs.py", "tests/wire/test_list_and_watch.py"),
    "client/_cached/": ("tests/unit/client/cached", "tests/wire/test_cached_client.py"),
    "client/_decoding/": ("tests/unit/client/decoding", "tests/wire/test_list_and_watch.py"),
    "client/_discovery.py": ("tests/wire/test_discovery.py",),
    "client/_http/": ("tests/unit/client/http", "tests/wire/test_trust.py", "tests/wire/test_large_streams.py"),
    "client/_http/errors.py": ("tests/wire/test_errors.py",),
    "client/_list_watch.py": ("tests/wire/test_list_and_watch.py", "tests/wire/test_large_streams.py"),
    "client/_written.py": ("tests/wire/test_own_writes.py",),
    "config/": ("tests/unit/config", "tests/wire/test_trust.py"),
    "controller/_slice_ownership.py": ("tests/properties/test_shard_group.py", "tests/apiserver/test_shard_groups.py"),
    "informer/_slice_caches.py": ("tests/properties/test_shard_group.py", "tests/apiserver/test_shard_groups.py"),
    "controller/_workers.py": ("tests/unit/controller", "tests/properties/test_controller_schedules.py"),
    "controller/": ("tests/unit/controller", "tests/properties/test_controller_schedules.py"),
    "errors.py": ("tests/wire/test_errors.py", "tests/scenarios/test_every_fault.py"),
    "cache/membership.py": ("tests/properties/test_scopes.py",),
    "cache/part_queue.py": ("tests/properties/test_scopes.py", "tests/wire/test_scopes.py"),
    "informer/_scope_reflector.py": ("tests/properties/test_scopes.py", "tests/wire/test_scopes.py"),
    "informer/_sharing_source.py": ("tests/unit/informer/test_shared_watch.py", "tests/properties/test_scopes.py"),
    "informer/_widening.py": ("tests/unit/informer/test_shared_watch.py", "tests/properties/test_scopes.py"),
    "informer/_scoped_source.py": ("tests/properties/test_scopes.py", "tests/wire/test_scopes.py"),
    "informer/_namespace_labels.py": ("tests/wire/test_scopes.py",),
    "informer/_uses.py": ("tests/wire/test_uses.py",),
    "informer/_part_status.py": ("tests/wire/test_scopes.py",),
    "_hosts.py": ("tests/integrations/test_hosts.py",),
    "cli/_kubeconfig_file.py": ("tests/cli/test_get_and_watch.py", "tests/cli/test_proxy.py"),
    "cli/_proxy.py": ("tests/cli/test_proxy.py",),
    "cli/_serve.py": ("tests/cli/test_serve_api.py", "tests/cli/test_get_and_watch.py"),
    "cli/_serve_tls.py": ("tests/cli/test_serve_api.py",),
    "testing/_apiserver/http/control.py": ("tests/wire/test_control_paths.py",),
    "testing/_apiserver/rules/contents.py": ("tests/wire/test_control_paths.py",),
    "cli/_record.py": ("tests/cli/test_record.py",),
    "cli/_replay.py": ("tests/cli/test_record.py",),
    "cli/_bench_replay.py": ("tests/cli/test_record.py",),
    "cli/_durations.py": ("tests/cli/test_record.py",),
    "recordings/": ("tests/unit/recordings", "tests/wire/test_recordings.py"),
    "proxy/": ("tests/unit/proxy", "tests/wire/test_proxy.py", "tests/wire/test_proxy_histories.py"),
    "fleet/": ("tests/unit/fleet", "tests/wire/test_fleet.py"),
    "events.py": ("tests/test_public_api.py", "tests/unit/test_filters.py"),
    "informer/": ("tests/unit/informer", "tests/properties/test_pipeline.py"),
    "informer/_mailbox.py": ("tests/properties/test_mailbox_machine.py", "tests/unit/informer/test_dispatcher.py"),
    "informer/_typed_mailbox.py": ("tests/unit/informer/test_typed.py",),
    "informer/_api_groups.py": ("tests/unit/informer/test_factory.py", "tests/wire/test_discovery.py"),
    "informer/_api_versions.py": ("tests/unit/informer/test_factory.py", "tests/wire/test_discovery.py"),
    "custom_resources/": ("tests/unit/custom_resources", "tests/apiserver/test_custom_resources.py"),
    "client/_typed.py": ("tests/apiserver/test_custom_resources.py",),
    "integrations/": ("tests/integrations",),
    "integrations/_starlette_responses.py": (
        "tests/integrations/test_starlette.py",
        "tests/integrations/test_event_source.py",
        "tests/integrations/test_bounds.py",
    ),
    "integrations/_server_thread.py": ("tests/wire/test_pytest_plugin.py", "tests/wire/test_settled.py"),
    "integrations/_web/": (
        "tests/integrations/test_fastapi.py",
        "tests/integrations/test_starlette.py",
        "tests/integrations/test_event_source.py",
    ),
    "integrations/_web/event_source.py": ("tests/integrations/test_event_source.py",),
    "integrations/_web/open_streams.py": ("tests/integrations/test_event_source.py",),
    "integrations/fastapi.py": ("tests/integrations/test_fastapi.py", "tests/integrations/test_example_app.py"),
    "integrations/opentelemetry.py": ("tests/wire/test_opentelemetry.py",),
    "integrations/prometheus/": ("tests/wire/test_prometheus.py",),
    "integrations/pytest_fixtures.py": ("tests/wire/test_pytest_plugin.py",),
    "integrations/pytest_plugin.py": ("tests/wire/test_pytest_plugin.py",),
    "integrations/settling.py": ("tests/wire/test_settled.py",),
    "integrations/starlette.py": ("tests/integrations/test_starlette.py",),
    "integrations/status_endpoint.py": ("tests/wire/test_status_endpoint.py", "tests/cli/test_top.py"),
    "integrations/ui/": ("tests/integrations/test_ui.py", "tests/cli/test_ui.py", "tests/browser/test_page.py"),
    "labels.py": ("tests/unit/cache/test_lister.py", "tests/unit/test_objects_labels.py"),
    "listwatch.py": ("tests/wire/test_list_and_watch.py", "tests/unit/reflector"),
    "integrations/_pytest_rbac.py": ("tests/wire/test_recorded_roles.py",),
    "webhooks/": ("tests/unit/webhooks", "tests/apiserver/test_webhooks.py"),
    "testing/_apiserver/http/webhooks.py": ("tests/apiserver/test_webhooks.py",),
    "testing/_apiserver/store/custom_versions.py": ("tests/apiserver/test_webhooks.py",),
    "testing/_apiserver/rules/webhooks.py": ("tests/apiserver/test_webhooks.py",),
    "manager/": ("tests/unit/manager", "tests/wire/test_manager.py"),
    "manifests/": ("tests/unit/manifests", "tests/cli/test_init_and_manifests.py"),
    "cli/_init.py": ("tests/cli/test_init_and_manifests.py",),
    "cli/_manifests.py": ("tests/cli/test_init_and_manifests.py",),
    "cli/_run.py": ("tests/wire/test_manager.py",),
    "cli/_reload.py": ("tests/wire/test_manager.py",),
    "integrations/_web/local_server.py": ("tests/wire/test_status_endpoint.py", "tests/wire/test_manager.py"),
    "metrics.py": ("tests/unit/test_metrics.py", "tests/wire/test_prometheus.py"),
    "_models.py": ("tests/apiserver/test_views_agree.py",),
    "_object_key.py": ("tests/unit/cache/test_lister.py",),
    "_path_finders.py": ("tests/unit/test_objects_at.py",),
    "objects.py": ("tests/unit/test_objects_at.py", "tests/unit/test_objects_labels.py"),
    "operators/_event_correlator.py": ("tests/unit/operators/test_event_recorder.py",),
    "operators/_lease_watch.py": ("tests/unit/operators/test_leader_election.py", "tests/wire/test_leader_election.py"),
    "operators/_shard_peers.py": (
        "tests/unit/operators/test_shard_protocol.py",
        "tests/properties/test_shard_schedules.py",
    ),
    "operators/_shard_plan.py": (
        "tests/unit/operators/test_shard_protocol.py",
        "tests/properties/test_shard_schedules.py",
    ),
    "operators/_shard_protocol.py": ("tests/properties/test_shard_schedules.py",),
    "operators/": ("tests/unit/operators", "tests/wire/test_what_operators_write.py"),
    "reflector/": ("tests/unit/reflector", "tests/scenarios/test_every_fault.py"),
    "resources.py": ("tests/unit/informer/test_factory.py", "tests/apiserver/test_same_answers.py"),
    "scope.py": ("tests/unit/test_scope.py", "tests/apiserver/test_partial_views.py"),
    "status.py": ("tests/unit/informer/test_shared_informer.py", "tests/scenarios/test_every_fault.py"),
    "testing/": ("tests/unit/testing",),
    "testing/_apiserver/": ("tests/unit/testing/apiserver", "tests/fidelity/test_recordings.py"),
    "testing/_apiserver/administrator.py": ("tests/unit/testing/apiserver/test_server.py",),
    "testing/_apiserver/cluster_contents.py": ("tests/wire/test_control_paths.py",),
    "testing/_apiserver/started_faults.py": ("tests/wire/test_control_paths.py",),
    "testing/_apiserver/controllers/": ("tests/unit/testing/apiserver/controllers",),
    "testing/_apiserver/http/": ("tests/unit/testing/apiserver/http", "tests/apiserver/test_wire.py"),
    "testing/_apiserver/http/cells/": ("tests/unit/testing/apiserver/http/test_tables.py",),
    "testing/_apiserver/rules/": ("tests/unit/testing/apiserver/rules", "tests/apiserver/test_same_answers.py"),
    "testing/_apiserver/rules/cel/": ("tests/unit/testing/apiserver/rules/test_cel.py",),
    "testing/_apiserver/rules/cel_rules.py": ("tests/unit/testing/apiserver/rules/test_cel.py",),
    "testing/_apiserver/rules/schema_rules.py": ("tests/unit/testing/apiserver/rules/test_cel.py",),
    "testing/_apiserver/rules/structural.py": ("tests/apiserver/test_parity.py", "tests/apiserver/test_crds.py"),
    "testing/_apiserver/rules/fields/": ("tests/apiserver/test_parity.py",),
    "testing/_apiserver/rules/field_sets.py": ("tests/unit/testing/apiserver/rules/test_patches.py",),
    "testing/_control_plane/": ("tests/unit/testing/control_plane",),
    "testing/recorded_roles.py": ("tests/wire/test_recorded_roles.py",),
    "testing/faults.py": ("tests/scenarios/test_every_fault.py", "tests/unit/testing/test_fault_spec.py"),
    "workqueue/": ("tests/unit/workqueue", "tests/properties/test_controller_schedules.py"),
    "workqueue/_delays.py": ("tests/unit/workqueue/test_rate_limiting_queue.py",),
    "workqueue/_rate_limiting_queue.py": (
        "tests/unit/workqueue/test_queue_machine.py",
        "tests/properties/test_controller_schedules.py",
    ),
    "workqueue/_work_queue.py": (
        "tests/unit/workqueue/test_queue_priorities.py",
        "tests/unit/workqueue/test_queue_machine.py",
        "tests/properties/test_controller_schedules.py",
    ),
}
"""What a module's own test file leaves to others: by module, or by folder for the modules of it that have no row."""


def modules() -> list[Path]:
    """All modules of the package that have something to test."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.stem not in WITHOUT_TESTS]


def mirrored(module: Path) -> Path:
    """Return the place of the test file that has the module's name; it need not exist."""
    relative = module.resolve().relative_to(PACKAGE)
    folders = [folder.strip("_") for folder in relative.parts[:-1]]
    return ROOT.joinpath("tests", "unit", *folders, f"test_{relative.stem.strip('_')}.py")


def places_of(module: Path) -> list[Path]:
    """Return the test files and folders of a module: the one of its name first.

    Raises:
        LookupError: no test is known for the module.
    """
    relative = module.resolve().relative_to(PACKAGE).as_posix()
    own = mirrored(module)
    others = ELSEWHERE.get(relative, ())
    if not others and not own.exists():
        folders = [f"{relative[:end]}/" for end, char in enumerate(relative) if char == "/"]
        others = next((ELSEWHERE[folder] for folder in reversed(folders) if folder in ELSEWHERE), ())
    found = [*([own] if own.exists() else []), *(ROOT / place for place in others)]
    if not found:
        msg = (
            f"no test is known for kinformer/{relative}: write {own.relative_to(ROOT)}, or name one in tests/mirror.py"
        )
        raise LookupError(msg)
    return found


def main(arguments: list[str]) -> None:
    """Print the tests of the modules that the arguments name."""
    found: dict[str, None] = {}
    for argument in arguments:
        for place in places_of(ROOT / argument):
            found[place.relative_to(ROOT).as_posix()] = None
    print(*found, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
