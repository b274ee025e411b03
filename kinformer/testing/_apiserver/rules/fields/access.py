"""The rules for roles, admission, flow control and the registration of APIs (pkg/apis/rbac and others, validation)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kinformer.testing._apiserver.rules.causes import duplicate, forbidden, invalid_value, one_of, required
from kinformer.testing._apiserver.rules.certificates import request_block
from kinformer.testing._apiserver.rules.fields.terms import (
    among,
    at_least,
    below,
    between,
    either,
    needed,
    on,
    path_segment,
    signer_name,
    subdomain,
)
from kinformer.testing._apiserver.rules.names import DNS_1035, DNS_1035_RULE, label_faults, subdomain_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kinformer.testing._apiserver.rules.fields.terms import Rule
    from kinformer.testing._apiserver.store.status import Cause

__all__ = ["RULES"]

_RBAC: Final = "rbac.authorization.k8s.io"
_FEWEST_DOTS: Final = 2
_MOST_QUEUES: Final = 10_000_000
_SHORTEST_CERTIFICATE: Final = 600
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_USAGES: Final = (
    *("any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment"),
    *("decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel"),
    *("ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime"),
    *("server auth", "signing", "timestamping"),
)
_URL_FORM: Final = "desired format: https://host[/path]"


def _policy_rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if not value.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    if value.get("nonResourceURLs"):
        if value.get("apiGroups") or value.get("resources") or value.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            yield invalid_value(f"{path}.nonResourceURLs", value["nonResourceURLs"], why)
        return
    if not value.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not value.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def _role_binding(*kinds: str) -> Rule:
    def rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
        role = value.get("roleRef") or {}
        at = below(path, "roleRef")
        if (role.get("apiGroup") or _RBAC) != _RBAC:
            yield one_of(f"{at}.apiGroup", role["apiGroup"], (_RBAC,))
        yield from among(*kinds)(role.get("kind"), f"{at}.kind")
        yield from either(needed(), path_segment)(role.get("name"), f"{at}.name")
        for index, subject in enumerate(value.get("subjects") or ()):
            place = f"{below(path, 'subjects')}[{index}]"
            yield from _subject(subject, place)
            is_account = subject.get("kind") == "ServiceAccount"
            if is_account and not subject.get("namespace") and "Role" not in kinds:
                yield required(f"{place}.namespace")

    return rule


def _aggregation(value: dict[str, Any], path: str) -> Iterator[Cause]:
    rule = value.get("aggregationRule")
    if rule is not None and not rule.get("clusterRoleSelectors"):
        why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        yield required(f"{below(path, 'aggregationRule')}.clusterRoleSelectors", why)


def _subject(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind, name = value.get("kind") or "", value.get("name") or ""
    if not name:
        yield required(f"{path}.name")
    match kind:
        case "ServiceAccount":
            if name:
                yield from subdomain(name, f"{path}.name")
            if value.get("apiGroup"):
                yield one_of(f"{path}.apiGroup", value["apiGroup"], ("",))
        case "User" | "Group":
            if (value.get("apiGroup") or _RBAC) != _RBAC:
                yield one_of(f"{path}.apiGroup", value["apiGroup"], (_RBAC,))
        case _:
            yield one_of(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def _full_name(value: Any, path: str) -> Iterator[Cause]:
    yield from subdomain(value, path)
    if value and value.count(".") < _FEWEST_DOTS:
        yield invalid_value(path, value, "should be a domain with at least three segments separated by dots")


def _webhook(value: dict[str, Any], path: str) -> Iterator[Cause]:
    yield from either(needed(), _full_name)(value.get("name"), f"{path}.name")
    # Imported here, and only for what needs it: the conditions are in CEL.
    from kinformer.testing._apiserver.rules.fields.policies import dns_1035, match_conditions

    yield from match_conditions(value, path)
    versions = value.get("admissionReviewVersions") or []
    if not versions:
        yield required(f"{path}.admissionReviewVersions", "must specify one of v1, v1beta1")
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid_value(f"{path}.admissionReviewVersions[{index}]", version, "duplicate version")
        else:
            yield from dns_1035(version, f"{path}.admissionReviewVersions[{index}]")
    if versions and not {"v1", "v1beta1"}.intersection(versions):
        why = "must include at least one of v1, v1beta1"
        yield invalid_value(f"{path}.admissionReviewVersions", versions, why)
    if value.get("sideEffects") is None:
        yield required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun")
    seconds = value.get("timeoutSeconds")
    yield from between(1, 30, "the timeout value must be between 1 and 30 seconds")(seconds, f"{path}.timeoutSeconds")
    config = value.get("clientConfig") or {}
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield required(f"{path}.clientConfig", "exactly one of url or service is required")
    elif url is not None:
        yield from _webhook_url(url, f"{path}.clientConfig.url")


def _webhook_url(url: str, path: str) -> Iterator[Cause]:
    parts = urlsplit(url)
    # The refusal names a part of the URL that is not there.
    if parts.scheme != "https":
        shown = parts.scheme or ""
        yield invalid_value(path, shown, f"'https' is the only allowed URL scheme; {_URL_FORM}")
    if not parts.netloc:
        yield invalid_value(path, "", f"host must be specified; {_URL_FORM}")


def _webhook_service(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # Kubernetes names the one field where the other is missing.
    if not value.get("namespace"):
        yield required(f"{path}.name")
    if not value.get("name"):
        yield required(f"{path}.namespace")
    place = value.get("path")
    if place:
        if not place.startswith("/"):
            yield invalid_value(f"{path}.path", place, "must start with a '/'")
        for index, segment in enumerate(place.removeprefix("/").split("/")):
            for fault in subdomain_faults(segment) if segment else ():
                yield invalid_value(f"{path}.path", place, f"segment[{index}]: {fault}")
    port = value.get("port")
    yield from between(1, 65535, "port is not valid: must be between 1 and 65535, inclusive")(port, f"{path}.port")


def _hook_rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for field in ("operations", "apiGroups", "apiVersions", "resources"):
        if not value.get(field):
            yield required(f"{path}.{field}")
        elif field == "operations":
            for index, operation in enumerate(value[field]):
                yield from among(*_OPERATIONS)(operation, f"{path}.{field}[{index}]")
        elif field != "apiGroups":
            for index, one in enumerate(value[field]):
                yield from needed()(one, f"{path}.{field}[{index}]")


def _signing_request(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if not value.get("request"):
        yield invalid_value(f"{path}.request", None, "PEM block type must be CERTIFICATE REQUEST")
    usages = value.get("usages") or []
    if not usages:
        yield required(f"{path}.usages")
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            yield one_of(f"{path}.usages[{index}]", usage, _USAGES)
        if usage in usages[:index]:
            yield duplicate(f"{path}.usages[{index}]", usage)
    yield from signer_name(value.get("signerName"), f"{path}.signerName")
    seconds = value.get("expirationSeconds")
    why = "may not specify a duration less than 600 seconds (10 minutes)"
    yield from at_least(_SHORTEST_CERTIFICATE, why)(seconds, f"{path}.expirationSeconds")


def _flow_schema(value: dict[str, Any], path: str) -> Iterator[Cause]:
    level, at = (value.get("priorityLevelConfiguration") or {}).get("name"), f"{path}.priorityLevelConfiguration.name"
    yield from either(needed("must reference a priority level"), subdomain)(level, at)
    precedence = value.get("matchingPrecedence")
    yield from at_least(0, "must be a positive value")(precedence, f"{path}.matchingPrecedence")
    if (precedence or 0) > 10000:
        why = "must not be greater than 10000"
        yield invalid_value(f"{path}.matchingPrecedence", precedence, why)
    method = value.get("distinguisherMethod")
    if method is not None and method.get("type") not in {"ByNamespace", "ByUser"}:
        shown = {"Type": method.get("type") or ""}
        yield one_of(f"{path}.distinguisherMethod.type", shown, ("ByNamespace", "ByUser"))


def _flow_precedence(value: dict[str, Any], path: str) -> Iterator[Cause]:
    spec, name = value.get("spec") or {}, (value.get("metadata") or {}).get("name")
    if spec.get("matchingPrecedence") == 1 and name != "exempt":
        why = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield invalid_value(f"{below(path, 'spec')}.matchingPrecedence", 1, why)


def _flow_namespaces(value: dict[str, Any], path: str) -> Iterator[Cause]:
    verbs, namespaces = value.get("verbs") or [], value.get("namespaces") or []
    if any(verb not in _VERBS for verb in verbs) and "*" not in verbs:
        yield one_of(f"{path}.verbs", verbs, _VERBS)
    if not namespaces and not value.get("clusterScope"):
        why = "resource rules that are not cluster scoped must supply at least one namespace"
        yield required(f"{path}.namespaces", why)
    for index, namespace in enumerate(namespaces):
        if namespace != "*":
            for fault in label_faults(namespace):
                why = f"each member of this list must be '*' or a DNS-1123 label; {fault}"
                yield invalid_value(f"{path}.namespaces[{index}]", namespace, why)


def _flow_rules(value: dict[str, Any], path: str) -> Iterator[Cause]:
    if not value.get("subjects"):
        yield required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(value.get("subjects") or ()):
        yield from _flow_subject(subject, f"{path}.subjects[{index}]")
    if not value.get("resourceRules") and not value.get("nonResourceRules"):
        yield required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")


def _flow_subject(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind = value.get("kind") or ""
    if kind not in {"Group", "ServiceAccount", "User"}:
        yield one_of(f"{path}.kind", kind, ("Group", "ServiceAccount", "User"))
        return
    field = kind[:1].lower() + kind[1:]
    given = value.get(field)
    for other in ("Group", "ServiceAccount", "User"):
        name = other[:1].lower() + other[1:]
        if other != kind and value.get(name) is not None:
            yield forbidden(f"{path}.{name}", f"{name} is forbidden when subject kind is not '{other}'")
    if given is None:
        yield required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
    elif not given.get("name"):
        yield required(f"{path}.{field}.name")


def _flow_requests(*fields: str) -> Rule:
    def rule(value: dict[str, Any], path: str) -> Iterator[Cause]:
        for field in fields:
            if not value.get(field):
                yield required(f"{path}.{field}", f"{field} must contain at least one value")

    return rule


def _priority_level(value: dict[str, Any], path: str) -> Iterator[Cause]:
    kind = value.get("type") or ""
    if not kind:
        yield required(f"{path}.type")
    elif kind not in {"Exempt", "Limited"}:
        yield one_of(f"{path}.type", kind, ("Exempt", "Limited"))
    elif kind == "Limited" and value.get("limited") is None:
        yield required(f"{path}.limited", "must not be empty when type is Limited")
    elif kind == "Limited" and value.get("exempt") is not None:
        yield forbidden(f"{path}.exempt", "must be nil if the type is Limited")
    elif kind == "Exempt" and value.get("limited") is not None:
        yield forbidden(f"{path}.limited", "must be nil if the type is not Limited")


def _limited(value: dict[str, Any], path: str) -> Iterator[Cause]:
    shares, at = value.get("nominalConcurrencyShares"), f"{path}.nominalConcurrencyShares"
    yield from at_least(0, "must be a non-negative integer")(shares, at)
    response = value.get("limitResponse") or {}
    kind = response.get("type") or ""
    if not kind:
        yield required(f"{path}.limitResponse.type")
    elif kind not in {"Queue", "Reject"}:
        yield one_of(f"{path}.limitResponse.type", kind, ("Queue", "Reject"))
    elif kind == "Queue" and response.get("queuing") is None:
        why = "must not be empty if limited.limitResponse.type is Limited"
        yield required(f"{path}.limitResponse.queuing", why)
    lendable = value.get("lendablePercent")
    yield from between(0, 100, "must be between 0 and 100, inclusive")(lendable, f"{path}.lendablePercent")
    borrowing = value.get("borrowingLimitPercent")
    why = "if specified, must be a non-negative integer"
    yield from at_least(0, why)(borrowing, f"{path}.borrowingLimitPercent")


def _queuing(value: dict[str, Any], path: str) -> Iterator[Cause]:
    # 0 counts as absent (SetDefaults_QueuingConfiguration).
    queues, hand = value.get("queues") or 64, value.get("handSize") or 8
    length = value.get("queueLengthLimit") or 50
    if length <= 0:
        yield invalid_value(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield invalid_value(f"{path}.queues", queues, "must be positive")
    if queues > _MOST_QUEUES:
        yield invalid_value(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}")
    if hand <= 0:
        yield invalid_value(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid_value(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")


def _api_service(value: dict[str, Any], path: str) -> Iterator[Cause]:
    del path
    spec = value.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    name, wanted = (value.get("metadata") or {}).get("name") or "", f"{version}.{group}"
    if name != wanted:
        yield invalid_value("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"')
    if not group and version != "v1":
        yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    elif group:
        yield from subdomain(group, "spec.group")
    if not re.fullmatch(DNS_1035, version):
        yield invalid_value("spec.version", version, DNS_1035_RULE)
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        given = spec.get(field) or 0
        if not 0 < given <= most:
            yield invalid_value(f"spec.{field}", given, f"must be positive and less than {most}")
    service = spec.get("service")
    if service is None:
        if spec.get("insecureSkipTLSVerify"):
            why = "local APIServices may not have insecureSkipTLSVerify"
            yield invalid_value("spec.insecureSkipTLSVerify", True, why)
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield required(f"spec.service.{field}")
    why = "port is not valid: must be between 1 and 65535, inclusive"
    yield from between(1, 65535, why)(service.get("port"), "spec.service.port")


def _names_twice(value: dict[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, hook in enumerate(value.get("webhooks") or ()):
        name = hook.get("name") or ""
        if name and name in seen:
            yield duplicate(f"{below(path, 'webhooks')}[{index}].name", name)
        seen.add(name)


_HOOKS: Final[tuple[Rule, ...]] = (_names_twice,)

RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "rbac/v1.PolicyRule": (_policy_rule,),
    "rbac/v1.ClusterRole": (_aggregation,),
    "rbac/v1.RoleBinding": (_role_binding("Role", "ClusterRole"),),
    "rbac/v1.ClusterRoleBinding": (_role_binding("ClusterRole"),),
    "admissionregistration/v1.ValidatingWebhookConfiguration": _HOOKS,
    "admissionregistration/v1.MutatingWebhookConfiguration": _HOOKS,
    "admissionregistration/v1.ValidatingWebhook": (_webhook,),
    "admissionregistration/v1.MutatingWebhook": (_webhook,),
    "admissionregistration/v1.ServiceReference": (_webhook_service,),
    "admissionregistration/v1.RuleWithOperations": (_hook_rule,),
    "admissionregistration/v1.NamedRuleWithOperations": (_hook_rule,),
    "certificates/v1.CertificateSigningRequestSpec": (on("request", request_block), _signing_request),
    "flowcontrol/v1.FlowSchemaSpec": (_flow_schema,),
    "flowcontrol/v1.PolicyRulesWithSubjects": (_flow_rules,),
    "flowcontrol/v1.NonResourcePolicyRule": (_flow_requests("verbs", "nonResourceURLs"),),
    "flowcontrol/v1.ResourcePolicyRule": (_flow_requests("verbs", "apiGroups", "resources"), _flow_namespaces),
    "flowcontrol/v1.FlowSchema": (_flow_precedence,),
    "flowcontrol/v1.PriorityLevelConfigurationSpec": (_priority_level,),
    "flowcontrol/v1.LimitedPriorityLevelConfiguration": (_limited,),
    "flowcontrol/v1.QueuingConfiguration": (_queuing,),
    "apiregistration/v1.APIService": (_api_service,),
}
