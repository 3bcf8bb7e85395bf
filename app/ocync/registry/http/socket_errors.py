"""The meaning of errors of sockets and of TLS, in words for a user."""

from __future__ import annotations

import os
import ssl

_TLS = {
    "WRONG_VERSION_NUMBER": "what came back is not TLS (plain http?)",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server wants another version of TLS",
    "UNSUPPORTED_PROTOCOL": "the server speaks no TLS later than 1.1",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate (tls.cert_file)",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refused the handshake; it may want a client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server does not accept the client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not know the authority of the client certificate",
    "UNEXPECTED_EOF_WHILE_READING": "the connection was closed within the TLS handshake",
}
# OpenSSL's X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, SELF_SIGNED_CERT_IN_CHAIN, UNABLE_TO_GET_ISSUER_CERT_LOCALLY and
# UNABLE_TO_VERIFY_LEAF_SIGNATURE.
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)


def is_of_unknown_authority(error: BaseException | None) -> bool:
    """Return whether a certificate was refused for its issuer, not for its name or its dates."""
    return isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNKNOWN_AUTHORITY


def reason(error: BaseException) -> str:
    """Return in one line why a connection could not be made or used."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return _TLS.get(error.reason or "", f"TLS failed: {error.reason or error}")
    if isinstance(error, ValueError):
        return "the host's name is not valid"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        # asyncio says "Connect call failed" for everything.
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
