"""What a process costs: wall time, processor time with all its children, memory of the whole tree."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SAMPLE = 0.04
_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a run cost."""

    code: int
    """The exit code; negative for a signal."""
    begun: float
    """When it began, in seconds since 1970."""
    wall: float
    user: float
    system: float
    memory: int
    """Bytes: the most that the tree had resident at once, sampled, or the peak of its largest process."""
    servers: float
    """Seconds of processor time that the servers needed for it."""
    foreign: float
    """Share of the machine's processors that was used meanwhile by processes which have no part in this."""

    @property
    def cpu(self) -> float:
        """Seconds."""
        return self.user + self.system


def run(command: Sequence[str], *, environ: Mapping[str, str], log: Path, limit: float, own: Iterable[int]) -> Cost:
    """
    Run a command to its end, or for so many seconds; what it says goes to the log.

    `own` are the processes that serve it, whose processor time is nobody else's.
    """
    serving = list(own)
    busy, served = _busy(), sum(map(_used, serving))
    with log.open("wb") as output:
        at, begun = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environ),
            cwd=log.parent,
            start_new_session=True,
        )
    sampler = _Sampler(process.pid)
    sampler.start()
    ender = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
    ender.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        ender.cancel()
        sampler.stop()
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    served = sum(map(_used, serving)) - served
    others = _busy() - busy - cpu - served
    return Cost(
        code=process.returncode,
        begun=at,
        wall=wall,
        user=used.ru_utime,
        system=used.ru_stime,
        memory=sampler.most,
        servers=served,
        foreign=min(1.0, max(0.0, others / wall / (os.cpu_count() or 1))),
    )


def workers_of(pid: int) -> list[int]:
    """Return a process and its children."""
    children = [each for each in _processes() if (stat := _stat(each)) and int(stat[1]) == pid]
    return [pid, *children]


class _Sampler(threading.Thread):
    """Looks at the memory of a session, as wait4 tells only the largest process, and of that also its parent's."""

    def __init__(self, session: int) -> None:
        super().__init__(name="sampler", daemon=True)
        self._session = session
        self._ended = threading.Event()
        self.most = 0

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._ended.wait(_SAMPLE):
            members = [pid for pid in _processes() if (stat := _stat(pid)) and int(stat[3]) == self._session]
            resident = sum(int(stat[21]) * _PAGE for pid in members if (stat := _stat(pid)))
            self.most = max([self.most, resident, *map(_high, members)])

    def stop(self) -> None:
        """Stop, and wait for it."""
        self._ended.set()
        self.join()


def _processes() -> list[int]:
    return [int(entry.name) for entry in os.scandir(_PROC) if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name (proc(5)), none where it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _high(pid: int) -> int:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", (_PROC / str(pid) / "status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _used(pid: int) -> float:
    stat = _stat(pid)
    return (int(stat[11]) + int(stat[12])) / _TICK if stat else 0.0


def _busy() -> float:
    """Return the seconds that all processors have worked: user, nice, system, irq, softirq, steal."""
    fields = [int(field) for field in (_PROC / "stat").read_text().partition("\n")[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / _TICK
