"""Who is known where: the names and secrets of all end-to-end tests."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from scripted import User

if TYPE_CHECKING:
    from collections.abc import Iterable

USERNAME = "0b5b1ee1f0e4e3f6/4f8bd9e2c5a5c001"
PASSWORD = (
    "pull: token # \"of\" 'many' {signs} $and\\more"  # what breaks clients that paste secrets into YAML or a shell
)
TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"

PULLER = User(name=USERNAME, password=PASSWORD, push=())
"""Of the source: a pull-token."""
PUSHER = User(name="x-access-token", password=TOKEN)
"""Of the target: a token of GitHub's, by the name that ocync gives it."""

VARIABLES = {"CHAINGUARD_USERNAME": USERNAME, "CHAINGUARD_PASSWORD": PASSWORD, "GITHUB_TOKEN": TOKEN}
"""The environment of the configuration in the README."""


def encoded(name: str, password: str) -> str:
    """Return `name:password` as Basic credentials and Docker's config hold it."""
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def forms(secrets: Iterable[str], *, name: str = "") -> set[str]:
    """Return what must not be seen anywhere: the secrets, and what is made of them."""
    return {
        form
        for secret in secrets
        for form in (secret, base64.b64encode(secret.encode()).decode(), encoded(name, secret))
    }
