"""What connections lead to, and how long they may take."""

from __future__ import annotations

from dataclasses import dataclass

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a connection leads to."""

    scheme: str
    host: str
    """Without brackets around an IPv6 address."""
    port: int

    @property
    def authority(self) -> str:
        """The Host field: without the scheme's own port."""
        return self._bracketed if self.port == PORTS[self.scheme] else f"{self._bracketed}:{self.port}"

    @property
    def address(self) -> str:
        """`host:port`, always with the port."""
        return f"{self._bracketed}:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds to wait for a connection, and for the other side at any time after that."""

    connect: float
    idle: float
    patience: float = 0.0
    """Seconds on top of `idle` for an answer to begin once the request has been sent."""
