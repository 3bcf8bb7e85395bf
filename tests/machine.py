"""
What the machine gives to the tests, and what it keeps to itself.

Whoever runs them may have a proxy, another time zone, no colours, a narrow terminal or a strict umask. None of that
changes what a test finds.
"""

from __future__ import annotations

import os
import re
import time

GIVEN = dict(os.environ)
"""The environment as it was: for what fetches programs and packages, through the machine's own proxy."""
_KEPT = re.compile(
    r"PATH|HOME|TMPDIR|VIRTUAL_ENV|LD_LIBRARY_PATH|(PYTHON|PYTEST|COV|HYPOTHESIS|OCYNC_TEST|OCYNC_LONG).*"
)
_SAME = {
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
    "TZ": "UTC",
    # The clouds' libraries read the environment of the process itself. Tests find no credentials, and ask nothing
    # of the network that the machine is in; those that want some say where.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
    "NO_GCE_CHECK": "true",
    "CLOUDSDK_CONFIG": "/nowhere/gcloud",
    "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
}


def forget() -> None:
    """Make the environment, the time zone and the umask of this process the same on every machine."""
    for name in [name for name in os.environ if not _KEPT.fullmatch(name)]:
        del os.environ[name]
    os.environ.update(_SAME)
    time.tzset()
    os.umask(0o022)
