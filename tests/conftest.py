"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# How long an example takes is a matter of the machine and of what else it does; pytest's own time limit holds.
# The variable makes it more examples of each property, for an hour to spare.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    max_examples=int(os.environ.get("OCYNC_TEST_EXAMPLES", "100")),
)
settings.load_profile("any machine")

# The clouds' libraries read the environment of the process itself. Tests find no credentials of the machine that
# they run on, and ask nothing of the network that it is in; those that want some say where.
for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "GCE_"))]:
    del os.environ[name]
os.environ.update(
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE="/nowhere/config",
    AWS_SHARED_CREDENTIALS_FILE="/nowhere/credentials",
    NO_GCE_CHECK="true",
    CLOUDSDK_CONFIG="/nowhere/gcloud",
    AZURE_TOKEN_CREDENTIALS="EnvironmentCredential",
)
