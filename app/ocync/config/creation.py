"""The section `create_repository` of a registry: how what a push finds missing is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ocync.config.model import CreateRepository
from ocync.oci.providers import ecr_host

if TYPE_CHECKING:
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings

_POLICY = (100, 30720)
"""The fewest and the most characters of a lifecycle policy (ECR API, PutLifecyclePolicy)."""
# ECR Public has none of these (ECR Public API, CreateRepository).
_PRIVATE_ONLY = ("scan_on_push", "tag_mutability", "kms_key", "lifecycle_policy")


def creation(registry: Section, host: str, findings: Findings) -> CreateRepository | None:
    """Return the settings; None where there are none, or where they are switched off."""
    if not registry.has("create_repository"):
        return None
    section = registry.section("create_repository")
    if section.flag("enabled") is False:
        return None
    found = ecr_host(host)
    if found is not None and found.public:
        for key in _PRIVATE_ONLY:
            if section.has(key):
                findings.warn("is not used: ECR Public has no such setting", section.at(key), section.place(key))
    mutability = section.text("tag_mutability")
    tags = section.section("tags")
    return CreateRepository(
        scan_on_push=section.flag("scan_on_push"),
        immutable_tags=None if mutability is None else mutability.lower() == "immutable",
        kms_key=section.text("kms_key"),
        tags={name: tags.text(name) or "" for name in tags.table.entries},
        lifecycle_policy=section.read("lifecycle_policy", _policy, findings),
    )


def _policy(text: Any) -> str:
    """Hold that a lifecycle policy is one, as far as its form goes (ECR API, PutLifecyclePolicy)."""
    try:
        policy = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(policy, dict) or not isinstance(policy.get("rules"), list):
        raise ValueError('is not a lifecycle policy: it has to be {"rules": [...]}')
    if not _POLICY[0] <= len(text) <= _POLICY[1]:
        raise ValueError(f"has {len(text)} characters, and ECR wants {_POLICY[0]} to {_POLICY[1]}")
    return str(text)
