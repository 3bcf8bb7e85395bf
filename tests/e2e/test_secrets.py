"""Whatever goes wrong, no secret is in anything that is written, sent elsewhere or shown in a list of processes."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from e2e import corpus, readme
from e2e.accounts import PASSWORD, PUSHER, TOKEN, USERNAME, encoded, forms
from scripted import Bearer, BlobStore, ScriptedRegistry, faults
from scripted.background import in_thread
from scripted.problem import problem
from servers.process import free_port
from servers.pushgateway import Pushgateway, pushgateway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from e2e.program import Program
    from scripted.rules import Action
    from scripted.wire import Request, Response

WRONG = "hunter2-which-was-right-until-yesterday"
"""A secret that is refused is a secret all the same."""
SECRETS = {PASSWORD, TOKEN, WRONG}


@dataclass(kw_only=True)
class Stage:
    """Where something goes wrong."""

    program: Program
    source: ScriptedRegistry
    target: ScriptedRegistry

    def knowing(self, **variables: str) -> None:
        """Give the program more variables."""
        self.program = self.program.knowing(**variables)

    def add(self, text: str) -> None:
        """Add keys to the configuration."""
        self.program.write((self.program.folder / "ocync.yaml").read_text() + text)

    def from_docker_config(self, document: object) -> None:
        """Have the source's credentials come from this docker config."""
        self.program.docker_config(document)
        text = readme.configuration(self.source.url, self.target.url)
        before, _, rest = text.partition("    auth_type: basic\n")
        self.program.write(before + "    auth_type: docker_config\n" + rest[rest.index("  ghcr:") :])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushgateway]:
    with pushgateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def stage(ready: Program, source: ScriptedRegistry, target: ScriptedRegistry, gateway: Pushgateway) -> Stage:
    return Stage(program=ready.knowing(OCYNC_PUSHGATEWAY_URL=gateway.url), source=source, target=target)


def echo(*secrets: str) -> Action:
    """Send back what came, and secrets besides, as servers do that were put into debug mode."""

    async def action(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
        sent = request.headers.get("authorization") or "nothing"
        words = [sent, sent.partition(" ")[2], *secrets, *(encoded(USERNAME, secret) for secret in secrets)]
        return problem(403, "DENIED", f"no: {', '.join(words)}")

    return action


def wrong_password(stage: Stage) -> None:
    stage.knowing(CHAINGUARD_PASSWORD=WRONG)


def wrong_token(stage: Stage) -> None:
    stage.knowing(GITHUB_TOKEN=WRONG)


def token_service_echoes(stage: Stage) -> None:
    stage.knowing(CHAINGUARD_PASSWORD=WRONG)
    stage.source.on("GET", "^/token", respond=echo(WRONG))


def source_echoes(stage: Stage) -> None:
    stage.source.on("GET|HEAD", "/manifests/", respond=echo(PASSWORD))


def target_echoes(stage: Stage) -> None:
    stage.target.on("POST|PUT", "", respond=echo(TOKEN))


def page_echoes(stage: Stage) -> None:
    page = f"<html>Authorization: Basic {encoded(USERNAME, PASSWORD)}</html>"
    stage.source.on("GET", "/tags/list", respond=faults.answer(500, page))
    stage.add("global: { retry: { attempts: 1 } }\n")


def empty_user(stage: Stage) -> None:
    stage.knowing(CHAINGUARD_USERNAME="", CHAINGUARD_PASSWORD=WRONG)


def password_that_no_header_takes(stage: Stage) -> None:
    stage.knowing(CHAINGUARD_USERNAME="a:b", CHAINGUARD_PASSWORD=WRONG)


def token_with_a_line_end(stage: Stage) -> None:
    stage.knowing(GITHUB_TOKEN=f"{WRONG}\r\nX-Evil: 1")


def broken_docker_config(stage: Stage) -> None:
    stage.from_docker_config(f'{{"auths": {{"{stage.source.host}": {{"auth": "{encoded(USERNAME, WRONG)}"}} oops')


def damaged_entry(stage: Stage) -> None:
    stage.from_docker_config({"auths": {stage.source.host: {"auth": encoded(USERNAME, WRONG)[:-3] + "*=="}}})


def helper_fails(stage: Stage) -> None:
    stage.from_docker_config({"credsStore": "leaky"})
    said = f"denied: {WRONG}; Authorization: Basic {encoded(USERNAME, WRONG)}"
    stage.program = stage.program.helper("leaky", f"echo '{said}' >&2; echo '{{\"Secret\": \"{WRONG}\"}}'; exit 3")


def helper_talks_nonsense(stage: Stage) -> None:
    stage.from_docker_config({"credsStore": "leaky"})
    stage.program = stage.program.helper("leaky", f'echo \'{{"Username": "u", "Secret": "{WRONG}"\'')


def helper_is_refused(stage: Stage) -> None:
    stage.from_docker_config({"credsStore": "stale"})
    stage.program = stage.program.helper("stale", f'echo \'{{"Username": "u", "Secret": "{WRONG}"}}\'')


def identity_token_is_refused(stage: Stage) -> None:
    stage.from_docker_config({"auths": {stage.source.host: {"identitytoken": WRONG}}})


def gateway_refuses(stage: Stage) -> None:
    stage.knowing(OCYNC_PUSHGATEWAY_URL=f"http://me:{WRONG}@{stage.source.host}/")


def gateway_is_down(stage: Stage) -> None:
    stage.knowing(OCYNC_PUSHGATEWAY_URL=f"http://me:{WRONG}@127.0.0.1:{free_port()}/")


def proxy_is_down(stage: Stage) -> None:
    stage.knowing(
        HTTP_PROXY=f"http://me:{WRONG}@127.0.0.1:{free_port()}", HTTPS_PROXY=f"http://me:{WRONG}@127.0.0.1:1"
    )
    text = readme.configuration("http://registry.invalid", stage.target.url)
    stage.program.write(text + "global: { retry: { attempts: 1, max_delay: 1s } }\n")


def secret_in_a_url(stage: Stage) -> None:
    stage.program.write(readme.configuration(f"https://me:{WRONG}@cgr.dev", stage.target.url))


def secret_in_the_place_of_a_name(stage: Stage) -> None:
    text = readme.configuration(stage.source.url, stage.target.url)
    stage.program.write(text.replace("source: src", "source: ${CHAINGUARD_PASSWORD}"))


SITUATIONS = {
    wrong_password: 4,
    wrong_token: 4,
    token_service_echoes: 4,
    source_echoes: 4,
    target_echoes: 4,
    page_echoes: 2,
    empty_user: 3,
    password_that_no_header_takes: 4,
    token_with_a_line_end: 4,
    broken_docker_config: 3,
    damaged_entry: 3,
    helper_fails: 4,
    helper_talks_nonsense: 4,
    helper_is_refused: 4,
    identity_token_is_refused: 4,
    gateway_refuses: 0,
    gateway_is_down: 0,
    proxy_is_down: 2,
    secret_in_a_url: 3,
    secret_in_the_place_of_a_name: 3,
}


@pytest.mark.parametrize(("prepare", "code"), SITUATIONS.items(), ids=[each.__name__ for each in SITUATIONS])
def test_no_secret_is_told(stage: Stage, gateway: Pushgateway, prepare: Callable[[Stage], None], code: int) -> None:
    prepare(stage)
    message = stage.program.folder / "termination-log"
    message.touch()

    done = stage.program("sync", "-c", "ocync.yaml", "-vv", "--json", "--termination-log", str(message))

    assert done.code == code, done
    assert_silent(done.said + message.read_text() + gateway.scrape(), stage.source)


def assert_silent(said: str, source: ScriptedRegistry) -> None:
    """Check that neither secrets nor tokens that were given for them are in what was said."""
    assert isinstance(source.auth, Bearer)
    hidden = {form for name in ("", USERNAME, PUSHER.name, "me", "u", "a:b") for form in forms(SECRETS, name=name)}
    hidden |= {json.dumps(secret)[1:-1] for secret in SECRETS}
    hidden |= source.auth.tokens.values()
    assert not [form for form in hidden if form in said]


def test_no_secret_is_told_where_nothing_goes_wrong(stage: Stage, gateway: Pushgateway) -> None:
    done = stage.program("sync", "-c", "ocync.yaml", "-vv")

    assert done.code == 0, done
    assert_silent(done.said + gateway.scrape(), stage.source)


def test_no_secret_is_told_by_the_check_of_credentials(stage: Stage) -> None:
    stage.source.on("GET", "/tags/list", respond=echo(PASSWORD), authorized=True)

    done = stage.program("auth", "check", "-c", "ocync.yaml", "-vv", "--json")

    assert done.code == 4, done
    assert_silent(done.said, stage.source)


def test_no_secret_is_told_by_a_log_of_json(stage: Stage) -> None:
    stage.source.on("GET|HEAD", "/manifests/", respond=echo(PASSWORD))

    done = stage.program("sync", "-c", "ocync.yaml", "-vv", "--log-format", "json")

    assert done.code == 4, done
    assert_silent(done.said, stage.source)


def test_a_helper_is_asked_by_its_standard_input_alone(stage: Stage) -> None:
    stage.from_docker_config({"credsStore": "curious"})
    seen = stage.program.folder / "seen"
    answer = shlex.quote(json.dumps({"Username": USERNAME, "Secret": PASSWORD}))
    look = rf"cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\0' ' ' > {seen}"
    stage.program = stage.program.helper("curious", f"{look}\nprintf %s {answer}")

    done = stage.program("sync", "-c", "ocync.yaml")

    assert done.code == 0, done
    assert "docker-credential-curious get" in seen.read_text()
    assert "ocync sync -c ocync.yaml" in seen.read_text()
    assert_silent(seen.read_text(), stage.source)


def test_signed_urls_are_not_told_and_their_host_gets_no_credentials(stage: Stage) -> None:
    with in_thread(BlobStore()) as store:
        stage.source.on("GET", "/blobs/", respond=store.redirect(), authorized=True)
        store.on("GET", "", times=2, respond=faults.reset())
        done = stage.program("sync", "-c", "ocync.yaml", "-vv")

    # The store itself fails this test when an Authorization comes to it.
    assert done.code == 0, done
    corpus.assert_mirrored(stage.source, stage.target)
    assert store.count("GET") > 10
    assert "X-Sig=" not in done.said


def test_uploads_that_go_elsewhere_take_no_credentials_along(stage: Stage) -> None:
    # The registry itself fails this test when an Authorization comes to its second host.
    stage.target.behaviour.location = "other-host"
    stage.target.behaviour.single_post = False  # by one POST, nothing would go there

    done = stage.program("sync", "-c", "ocync.yaml", "-vv")

    assert done.code == 0, done
    corpus.assert_mirrored(stage.source, stage.target)
    assert {request.scheme for request in stage.target.requests if request.server == "other"} == {None}
    assert "_state=" not in done.said


def test_a_token_service_that_sends_us_elsewhere_gets_no_password_there(stage: Stage) -> None:
    with in_thread(ScriptedRegistry()) as elsewhere:
        stage.source.on("GET", "^/token", respond=faults.redirect(f"{elsewhere.url}/token"))
        done = stage.program("sync", "-c", "ocync.yaml", "-vv")

    assert done.code != 0, done
    assert {request.scheme for request in elsewhere.requests} <= {None}
    assert_silent(done.said, stage.source)
