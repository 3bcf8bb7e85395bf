"""The image run as a restricted pod runs it: uid 65532, no capabilities, nothing but /tmp to write to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import ocync

if TYPE_CHECKING:
    from image.bundle import Runner

PYTHON = ("/usr/bin/python3", "-c")
LOOK = """
import errno, json, os, pathlib

def write(path):
    try:
        pathlib.Path(path, "x").write_text("x")
    except OSError as error:
        return errno.errorcode[error.errno]
    return "written"

status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "pid": os.getpid(), "ids": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    "home": str(pathlib.Path.home()), "cwd": os.getcwd(),
    "capabilities": int(status["CapEff"], 16), "tmp": write("/tmp"),
    "refused": {path: write(path) for path in ["/", "/home/nonroot", "/opt/ocync/app/ocync", "/etc"]},
}))
"""

pytestmark = pytest.mark.timeout(300)


def test_version_is_the_default_program_with_another_argument(runner: Runner) -> None:
    done = runner.run("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert ocync.__version__ in done.stdout


def test_the_process_is_pid_1_of_uid_65532_with_no_capabilities_on_a_read_only_root(runner: Runner) -> None:
    seen = json.loads(runner.run(LOOK, entrypoint=PYTHON).stdout)
    assert seen["pid"] == 1
    assert seen["ids"] == [65532] * 4
    assert seen["capabilities"] == 0
    assert (seen["home"], seen["cwd"]) == ("/home/nonroot", "/home/nonroot")
    assert seen["tmp"] == "written"
    assert set(seen["refused"].values()) == {"EROFS"}


def test_the_program_answers_by_name_for_those_who_exec_into_the_pod(runner: Runner) -> None:
    by_name = ("/usr/bin/python3", "-c", "import os, sys; os.execvp('ocync', ['ocync', *sys.argv[1:]])")
    assert ocync.__version__ in runner.run("version", entrypoint=by_name).stdout


def test_https_has_certificates_to_trust(runner: Runner) -> None:
    code = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    assert int(runner.run(code, entrypoint=PYTHON).stdout) > 50


def test_a_missing_config_is_told_in_one_line_with_exit_code_3(runner: Runner) -> None:
    done = runner.run(*runner.image.config["Cmd"])
    assert done.returncode == 3
    assert "/etc/ocync/config.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_libraries_of_the_clouds_are_there_with_all_the_apis_that_a_login_needs(runner: Runner) -> None:
    code = (
        "import azure.identity, botocore.session, google.auth.transport.requests, google.oauth2.service_account;"
        "from cryptography.hazmat.primitives.asymmetric import rsa;"
        "session = botocore.session.Session();"
        "apis = ['ecr', 'ecr-public', 'sts', 'sso', 'sso-oidc', 'signin'];"
        "made = [session.create_client(api, region_name='us-east-1') for api in apis];"
        "print([each.meta.service_model.service_name for each in made])"
    )
    done = runner.run(code, entrypoint=PYTHON)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "['ecr', 'ecr-public', 'sts', 'sso', 'sso-oidc', 'signin']"
