"""Admission and conversion webhooks as plain functions.

_webhooks      Webhooks: the functions, the answers, the configurations, the ASGI application
_admission     AdmissionRequest, Allow, Deny, Patch        _reviews       AdmissionReview to and from JSON
_patches       JSON patches from changed objects           _rules         the configuration of one webhook
_certificates  files, or a Secret with rotation            _server        HTTPS for the Manager
"""

from __future__ import annotations

from kinformer.webhooks._admission import AdmissionRequest, Allow, Deny, Patch, UserInfo
from kinformer.webhooks._certificates import CertificateFiles, CertificateSecret
from kinformer.webhooks._rules import ServiceAddress
from kinformer.webhooks._server import WebhookServer
from kinformer.webhooks._webhooks import Webhooks

__all__ = [
    "AdmissionRequest",
    "Allow",
    "CertificateFiles",
    "CertificateSecret",
    "Deny",
    "Patch",
    "ServiceAddress",
    "UserInfo",
    "WebhookServer",
    "Webhooks",
]
