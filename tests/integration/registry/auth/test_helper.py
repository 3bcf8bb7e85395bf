"""Credential helpers, as processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from logins import helper
from ocync.lib.errors import AuthError
from ocync.registry.auth.credential import Credential, IdentityToken, UserPassword
from ocync.registry.auth.helper import HelperMissingError, ask

ANSWER = """'{"ServerURL":"cgr.dev","Username":"robot","Secret":"s3cret"}'"""
ORIGIN = "docker-credential-x for cgr.dev (docker config F)"


async def said(folder: Path, script: str, *, limit: float = 10.0, server: str = "cgr.dev") -> Credential | None:
    environ = helper(folder, "x", script, {"PATH": "/usr/bin:/bin", "FOLDER": str(folder)})
    return await ask("x", server, environ=environ, origin=ORIGIN, limit=limit)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> bool:
    for _ in range(100):
        if not is_running(pid):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_user_name_and_a_secret_are_understood(tmp_path: Path) -> None:
    credential = await said(tmp_path, f"echo {ANSWER}")

    assert credential == UserPassword(username="robot", password="s3cret", origin=ORIGIN)
    assert credential is not None
    assert credential.origin == ORIGIN


async def test_the_server_comes_by_standard_input_and_is_no_argument(tmp_path: Path) -> None:
    await said(tmp_path, f'cat > "$FOLDER/in"; echo "$*" > "$FOLDER/args"; echo {ANSWER}', server="https://a/v1/")

    assert (tmp_path / "in").read_text() == "https://a/v1/"
    assert (tmp_path / "args").read_text() == "get\n"


async def test_the_environment_is_the_one_that_is_given(tmp_path: Path) -> None:
    await said(tmp_path, f'env > "$FOLDER/env"; echo {ANSWER}')

    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {"PATH", "FOLDER", "PWD", "SHLVL", "_", "OLDPWD"}


async def test_a_user_name_that_is_token_means_an_identity_token(tmp_path: Path) -> None:
    credential = await said(tmp_path, """echo '{"Username":"<token>","Secret":"refresh"}'""")

    assert credential == IdentityToken(token="refresh", origin="")


@pytest.mark.parametrize(
    "script",
    [
        "echo credentials not found in native keychain; exit 1",
        "echo 'Error: credentials not found in native keychain' >&2; exit 1",
        """echo '{"ServerURL":"","Username":"","Secret":""}'""",
        "echo '{}'",
    ],
    ids=["stdout", "stderr", "empty fields", "empty object"],
)
async def test_a_helper_that_holds_nothing_is_no_error(tmp_path: Path, script: str) -> None:
    assert await said(tmp_path, script) is None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no network; exit 3", "docker-credential-x failed with exit code 3: no network"),
        ("echo 'token expired, log in' >&2; exit 1", "failed with exit code 1: token expired, log in"),
        ("exit 1", "docker-credential-x failed with exit code 1"),
        ("kill -9 $$", "docker-credential-x failed with signal 9"),
        ("echo 'secret: s3cret'; exit 1", "failed with exit code 1: secret: ***"),
        ("echo s3cret", "printed no valid JSON"),
        ("true", "printed no valid JSON"),
        ("printf '\\377'", "printed no valid JSON"),
        ("""echo '{"Username":"u"}'""", "gave no Secret"),
        ("""echo '{"Secret":"s3cret"}'""", "gave no Username"),
        ("""echo '{"Username":7,"Secret":"s3cret"}'""", "gave no Username"),
        ("""echo '{"Username":"a:b","Secret":"s3cret"}'""", "holds a colon"),
        ("yes s3cret", "printed more than 1048576 bytes and was ended"),
        ("yes s3cret >&2", "printed more than 1048576 bytes and was ended"),
    ],
)
async def test_a_helper_that_fails_is_told_with_its_name_and_without_secrets(
    tmp_path: Path, script: str, message: str
) -> None:
    with pytest.raises(AuthError) as caught:
        await said(tmp_path, script)

    assert message in str(caught.value)
    assert ORIGIN in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_helper_that_is_not_installed_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HelperMissingError, match="docker-credential-none is not installed") as caught:
        await ask("none", "cgr.dev", environ={"PATH": str(tmp_path)}, origin=ORIGIN)

    assert caught.value.hint


async def test_a_helper_that_can_not_be_run_is_told(tmp_path: Path) -> None:
    environ = helper(tmp_path, "x", "", {})
    (tmp_path / "docker-credential-x").write_text("#!/no/such/interpreter\n")

    with pytest.raises(AuthError, match=r"can't run .*docker-credential-x"):
        await ask("x", "cgr.dev", environ=environ, origin=ORIGIN)


async def test_a_helper_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match=r"did not answer within 0\.3 s and was ended"):
        await said(tmp_path, 'sleep 600 & echo $! > "$FOLDER/child"; echo $$ > "$FOLDER/parent"; wait', limit=0.3)

    for name in ("parent", "child"):
        assert await gone(int((tmp_path / name).read_text()))


async def test_a_child_that_holds_the_output_open_is_ended_too(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="did not answer within"):
        await said(tmp_path, f'sleep 60 & echo $! > "$FOLDER/child"; echo {ANSWER}', limit=0.3)

    assert await gone(int((tmp_path / "child").read_text()))


async def test_a_child_in_the_background_may_live_on(tmp_path: Path) -> None:
    # As gpg-agent does, which `pass` starts.
    script = f'sleep 2 >/dev/null 2>&1 </dev/null & echo $! > "$FOLDER/child"; echo {ANSWER}'

    assert await said(tmp_path, script) is not None
    assert is_running(int((tmp_path / "child").read_text()))


async def test_a_cancelled_call_ends_the_helper(tmp_path: Path) -> None:
    task = asyncio.ensure_future(said(tmp_path, 'echo $$ > "$FOLDER/parent"; sleep 60'))
    while not (tmp_path / "parent").exists() or not (tmp_path / "parent").read_text():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await gone(int((tmp_path / "parent").read_text()))


async def test_no_file_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for script in (f"echo {ANSWER}", "exit 1", "echo"):
        for _ in range(3):
            try:
                await said(tmp_path, script)
            except AuthError:
                continue
    await asyncio.sleep(0.05)

    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
