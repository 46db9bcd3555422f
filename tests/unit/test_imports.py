"""Importing the harness and its command is light: heavy parts load where they are used."""

import subprocess
import sys

import pytest

HEAVY = {
    *("aiokafka", "docx", "duckdb", "httpx", "jgo", "psutil", "pydantic", "pyroute2", "redis", "reportlab"),
    *("sqlalchemy", "yaml"),
}


def loaded(code: str) -> set[str]:
    said = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in said.stdout.split()}


@pytest.mark.parametrize("module", ["harness", "harness.cli", "harness.pytest_plugin", "harness.checkers"])
def test_importing_is_light(module: str) -> None:
    assert not loaded(f"import {module}") & HEAVY


def test_the_table_of_faults_loads_no_client() -> None:
    clients = {"aiokafka", "duckdb", "httpx", "redis", "reportlab", "docx"}
    assert not loaded("import harness.faults") & clients


def test_asking_for_help_is_light() -> None:
    code = "from typer.testing import CliRunner\nfrom harness.cli import app\nCliRunner().invoke(app, ['--help'])"
    assert not loaded(code) & HEAVY
