"""Imports go one way, as ARCHITECTURE.md says, and heavy libraries stay where they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "app" / "ocync"

MAY_IMPORT = {
    "errors": set(),
    "slots": set(),
    "threads": set(),
    "reach": set(),
    "flights": set(),
    "concurrency": set(),
    "limits": {"slots"},
    "interrupt": set(),
    "oci": {"errors"},
    "config": {"errors", "oci", "filters", "verification.material"},
    "verification": {"oci"},
    "filters": {"errors", "oci", "config"},
    "endpoint": {"oci", "slots"},
    "memory": {"errors", "oci", "endpoint"},
    "printable": set(),
    "redaction": set(),
    "log": {"printable", "redaction"},
    "http": {"errors", "config", "reach"},
    "auth": {"errors", "oci", "config", "flights", "reach"},
    "registry": {
        *("errors", "oci", "config", "http", "auth", "endpoint", "flights", "slots", "limits", "memory", "reach"),
    },
    "layout": {"errors", "oci", "endpoint", "flights", "slots", "threads"},
    "plan": {
        *("errors", "oci", "config", "filters", "endpoint", "memory", "flights", "concurrency", "transfer.result"),
    },
    "transfer": {
        *("errors", "oci", "config", "endpoint", "slots", "plan", "registry.waiting", "interrupt", "memory"),
        "threads",
        "concurrency",
        "flights",
        "verification",
    },
    "analyze": {
        *("errors", "oci", "config", "endpoint", "slots", "plan", "transfer", "interrupt", "registry.repository"),
        *("registry.waiting", "memory", "flights"),
        *("report.figures", "report.summary", "printable"),
    },
    "report": {
        *("errors", "transfer.result", "transfer.events", "config", "http", "log", "printable"),
        *("auth.files", "auth.excerpt"),  # secrets that stand in files are read by one piece of code
    },
    "health": {"report", "errors"},
}
"""What a package or module may import of ours, besides itself; those not named compose, and may import all."""

HEAVY = {
    "httpx": {"http", "auth", "registry", "report", "places"},
    "tenacity": {"registry"},
    "yaml": {"config"},
    "jsonschema": {"config"},
    "prometheus_client": {"report"},
    "rich": {"report"},
    "pythonjsonlogger": {"log"},
    "shtab": {"cli"},
    "botocore": {"auth"},
    "google": {"auth"},
    "requests": {"auth"},
    "azure": {"auth"},
    "cryptography": {"verification"},
    "sigstore": {"verification"},
}


def imports_of(path: Path) -> set[str]:
    """Return the modules that a file imports, whether for types only or not."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from ocync.oci import media` imports a module of its own.
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_place_allows(path: Path) -> None:
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    imported = imports_of(path)

    if here in MAY_IMPORT:
        ours = {name.removeprefix("ocync.") for name in imported if name.startswith("ocync.")}
        allowed = MAY_IMPORT[here] | {here}
        foreign = {
            name
            for name in ours
            if name != "__version__"
            and not any(name == a or name.startswith(f"{a}.") or a.startswith(f"{name}.") for a in allowed)
        }
        assert not foreign
    for library, places in HEAVY.items():
        if any(name == library or name.startswith(f"{library}.") for name in imported):
            assert here in places


def test_the_version_needs_no_library() -> None:
    code = (
        "import sys; from ocync.cli.main import run; run(['version']);"
        f"heavy = {sorted(HEAVY)} + ['asyncio', 'ssl', 'logging'];"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
