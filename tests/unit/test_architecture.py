"""Imports go one way, as pyproject.toml has it and ARCHITECTURE.md tells it; libraries stay in their places."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "contracts"
]
HEAVY = {
    library
    for contract in CONTRACTS
    for library in contract.get("protected_modules", ())
    if not library.startswith("ocync.")
}


def test_the_contracts_of_imports_are_kept() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_the_page_tells_the_levels_that_the_contracts_have() -> None:
    [layers] = [contract["layers"] for contract in CONTRACTS if contract.get("containers") == ["ocync"]]
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told: dict[int, set[str]] = {}
    for level, parts in re.findall(r"^\| (\d+) \| (.+?) \|", page, re.MULTILINE):
        told.setdefault(int(level), set()).update(re.findall(r"`(\w+)(?:/|\.py)`", parts))

    assert told == {level: set(layer.split(" | ")) for level, layer in enumerate(reversed(layers), 1)}


def test_every_library_of_the_program_has_its_place() -> None:
    graph = "import grimp; graph = grimp.build_graph('ocync', include_external_packages=True, cache_dir=None);"
    code = f"{graph}print(*(each for each in graph.modules if '.' not in each))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) - set(sys.stdlib_module_names) - {"ocync"} == HEAVY


def test_the_version_needs_no_library() -> None:
    code = (
        "import sys; from ocync.cli.main import run; run(['version']);"
        f"heavy = {sorted(HEAVY)} + ['asyncio', 'ssl', 'logging'];"
        "sys.exit(', '.join(name for name in heavy if name in sys.modules) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
