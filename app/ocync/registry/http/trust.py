"""The certificates that TLS trusts: those of the system, those that a user adds, or explicitly all."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ocync.lib.errors import ConfigError

if TYPE_CHECKING:
    from ocync.config.model import TlsSettings


def context(settings: TlsSettings) -> ssl.SSLContext:
    """
    Return the TLS context of one trust setting; it takes some 40 ms, so keep it.

    It trusts the system's store, which SSL_CERT_FILE and SSL_CERT_DIR replace (OpenSSL does that), and `ca_file`.
    Raises ConfigError for a file that can't be read or used.
    """
    result = ssl.create_default_context()
    result.minimum_version = ssl.TLSVersion.TLSv1_2
    # Before 3.11.4 Python did not tell a cut connection from a closed one (python/cpython#95494).
    result.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    result.set_alpn_protocols(["http/1.1"])
    # TLS 1.2 renegotiation in the middle of a body is refused, as by Go's clients.
    result.options |= ssl.OP_NO_RENEGOTIATION
    # Since Python 3.13 the default refuses authorities without keyUsage. Private ones often have none, and other
    # registry clients accept them.
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
    # Without this, OpenSSL asks at the terminal.
    raise ConfigError("the key in tls.key_file has a passphrase", hint="it has to be a PEM file without one")


def _unusable(key: str, path: str, error: Exception) -> ConfigError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return ConfigError(f"{key} {path} can't be used: {why}", hint="it has to be a readable PEM file")
