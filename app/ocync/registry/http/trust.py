"""Whom TLS trusts: the system's authorities, those a user adds, or (said aloud) anybody."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ocync.lib.errors import ConfigError

if TYPE_CHECKING:
    from ocync.config.model import TlsSettings


def context(settings: TlsSettings) -> ssl.SSLContext:
    """
    Make the TLS context of one trust setting; takes some 40 ms, so make one per setting and keep it.

    The system's store is used, or what SSL_CERT_FILE and SSL_CERT_DIR name instead of it (OpenSSL does that);
    `ca_file` is added to it. Raises ConfigError for a file that can't be read or used.
    """
    result = ssl.create_default_context()
    result.minimum_version = ssl.TLSVersion.TLSv1_2
    # Before 3.11.4 Python took a connection that was cut for one that was closed (python/cpython#95494).
    result.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    result.set_alpn_protocols(["http/1.1"])
    # A server of TLS 1.2 that shakes hands once more in the middle of a body is refused, as in Go's clients.
    result.options |= ssl.OP_NO_RENEGOTIATION
    # Since Python 3.13 the default refuses authorities without keyUsage; private ones often have none, and every
    # other registry client takes them.
    result.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if settings.insecure_skip_verify:
        result.check_hostname = False
        result.verify_mode = ssl.CERT_NONE
    if settings.ca_file is not None:
        try:
            result.load_verify_locations(cafile=str(settings.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise _unusable("tls.ca_file", str(settings.ca_file), error) from error
    if settings.cert_file is not None:
        try:
            key_file = settings.key_file or settings.cert_file
            result.load_cert_chain(str(settings.cert_file), str(key_file), password=_no_passphrase)
        except (OSError, ssl.SSLError) as error:
            raise _unusable("tls.cert_file", str(settings.cert_file), error) from error
    return result


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask at the terminal.
    raise ConfigError("the key in tls.key_file has a passphrase", hint="it has to be a PEM file without one")


def _unusable(key: str, path: str, error: Exception) -> ConfigError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return ConfigError(f"{key} {path} can't be used: {why}", hint="it has to be a readable PEM file")
