"""What goes wrong: rules by chance, for sources and for targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripted import faults

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from scripted import BlobStore, ScriptedRegistry
    from scripted.rules import Action, Rule

    Hazard = tuple[str, str, Callable[[], Action]]

MANIFEST, BY_TAG, BLOB = r"/manifests/", r"/manifests/(?!sha)", r"/blobs/sha"
UPLOADS, LIST, REFERRERS, ALL = r"/uploads/", r"/tags/list", r"/referrers/", r"/v2/team"
SOON = {"Retry-After": "1"}
_WAITED_FOR = ("too many", "answer 403")
LONG = 0.8
"""Seconds that nobody waits for: our side gives up on what stands still before that."""


class Hazards:
    """Makes rules; `elsewhere` is a host that has no business with any of this."""

    def __init__(self, chance: random.Random, *, store: BlobStore, elsewhere: str) -> None:
        self._chance = chance
        # Where no digest is told of a tag, or a wrong one, nothing vouches for its bytes but TLS.
        self._tells_digests = chance.random() < 0.5
        self._store = store
        self._elsewhere = elsewhere

    def let_loose(self, registry: ScriptedRegistry, *, writes: bool, lies: bool, count: int) -> list[Rule]:
        """
        Give a registry so many rules by chance; `writes`: it is a target.

        One that does not lie fails, and does not say that it has stored what it has not.
        """
        made = []
        for _ in range(count):
            table = self._anywhere() + (self._at_target() if writes else self._at_source()) + self._of_digests()
            if lies:
                table += self._lies()
            method, pattern, make = self._chance.choice(table)
            action = make()
            times = self._chance.choice([1, 1, 2, 3, 10, None])
            if any(mark in repr(action) for mark in _WAITED_FOR):
                # Each of them is a second in which nothing of its kind is asked.
                times = 2
            made.append(
                registry.on(
                    method,
                    pattern,
                    times=times,
                    after=self._chance.choice([0, 0, 1, 2, 5, 12]),
                    every=self._chance.choice([1, 1, 2, 3, 5]),
                    authorized=self._chance.random() < 0.5,
                    respond=action,
                )
            )
        return made

    def _size(self) -> int:
        return self._chance.choice([0, 1, 40, 700, 5_000, 50_000])

    def _anywhere(self) -> list[Hazard]:
        chance = self._chance
        status = chance.choice([500, 502, 503, 504, 408])
        where = chance.choice([MANIFEST, BY_TAG, BLOB, UPLOADS, LIST, REFERRERS, ALL])
        challenge = chance.choice(
            [
                'Basic realm="x"',
                'Bearer realm="http://169.254.169.254/latest/token",service="x"',
                'Bearer realm="https://[broken/token"',
                'Digest qop="auth", nonce="abc"',
                "",
            ]
        )
        return [
            ("*", where, lambda: faults.answer(status)),
            ("*", where, lambda: faults.html(chance.choice([403, 404, 502]))),
            ("*", where, lambda: faults.too_many(seconds=chance.choice([0, 0, 1]))),
            ("*", where, lambda: faults.too_many(date_in=chance.choice([-100, 1]))),
            ("*", where, lambda: faults.too_many(message="retry-after: 10.3ms, allowed: 2000/minute")),
            (
                *("*", where),
                lambda: faults.error(403, "DENIED", "You have exceeded a secondary rate limit", headers=SOON),
            ),
            ("*", where, lambda: faults.error(401, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge})),
            ("*", where, faults.reset),
            ("*", where, faults.close),
            ("*", where, faults.lose_answer),
            ("*", where, faults.hang_up),
            ("*", where, lambda: faults.stall(LONG)),
            ("*", where, lambda: faults.stall(0.05)),
            ("*", where, lambda: faults.raw(chance.choice(_NO_HTTP))),
            ("GET", where, lambda: faults.drip(size=chance.choice([500, 9_000]), pause=0.001)),
            ("GET", where, lambda: faults.cut(after=self._size(), reset=chance.random() < 0.5)),
            ("GET", where, lambda: faults.stall(LONG, after=self._size())),
            ("GET|HEAD", where, faults.redirect_in_a_circle),
            ("GET|HEAD", where, lambda: faults.redirect(f"{self._elsewhere}/v2/team/app/manifests/1")),
            ("GET|HEAD", where, lambda: faults.redirect("ftp://127.0.0.1/", 302)),
            ("GET|HEAD", MANIFEST, lambda: faults.headers({"Content-Type": "text/plain"})),
            ("GET|HEAD", BY_TAG, lambda: faults.error(404, "MANIFEST_UNKNOWN")),
            ("GET", LIST, faults.tags_null),
            ("GET", LIST, faults.tags_missing),
            ("GET", LIST, lambda: faults.tags_with(None, "", "sha256:0123", "no such")),
            ("GET", LIST, lambda: faults.endless_tags(chance.choice(["same", "fresh"]))),
            ("GET", REFERRERS, faults.html),
            ("GET", REFERRERS, lambda: faults.error(404, "UNSUPPORTED")),
            ("GET", REFERRERS, lambda: faults.answer(200, b'{"manifests": null}')),
            ("GET", REFERRERS, lambda: faults.cut(after=self._size())),
            ("GET", "^/token", lambda: faults.answer(status)),
            ("GET", "^/token", faults.html),
            ("GET", "^/token", lambda: faults.stall(LONG)),
            ("GET", "^/token", lambda: faults.edit_json(lambda body: {**body, "token": "x", "access_token": "x"})),
        ]

    def _at_source(self) -> list[Hazard]:
        return [
            ("GET", BLOB, self._store.redirect),
            ("GET|HEAD", BLOB, self._store.redirect),
            ("GET", BLOB, self._store.redirect),
            ("GET", BLOB, lambda: faults.flip_bit(at=self._size())),
            ("GET", BLOB, lambda: faults.claim_length(self._chance.choice([-3, -1, 1, 9]))),
            ("GET", BLOB, lambda: faults.encode_gzip(always=True)),
            ("GET", BLOB, faults.chunked),
            ("GET", BLOB, faults.without_length),
            ("GET", BLOB, lambda: faults.headers({"Content-Range": "bytes 5-9/10"})),
            ("GET", BLOB, lambda: faults.error(404, "BLOB_UNKNOWN")),
            ("GET", BLOB, lambda: faults.answer(200, b"something else entirely")),
            ("GET", MANIFEST, faults.encode_gzip),
            ("GET", MANIFEST, lambda: faults.answer(200, b'{"schemaVersion": 1, "tag": "old"}')),
        ]

    def _at_target(self) -> list[Hazard]:
        chance = self._chance
        lost = f"{self._elsewhere}/v2/team/app/blobs/uploads/lost"
        return [
            ("POST", UPLOADS, lambda: faults.headers({"Location": lost})),
            ("POST", UPLOADS, lambda: faults.headers({"Location": None})),
            ("POST", UPLOADS, lambda: faults.headers({"Location": "http://169.254.169.254/latest/meta-data"})),
            ("POST", r"mount=", lambda: faults.error(chance.choice([401, 403, 404, 405]), "DENIED")),
            ("PUT", UPLOADS, lambda: faults.reset_upload(after=self._size(), keep=chance.random() < 0.5)),
            ("PUT", UPLOADS, lambda: faults.stall_upload(LONG, after=self._size())),
            ("PUT", UPLOADS, lambda: faults.refuse_upload(413, after=self._size())),
            ("PUT|PATCH", UPLOADS, lambda: faults.error(404, "BLOB_UPLOAD_UNKNOWN")),
            ("PUT", UPLOADS, lambda: faults.error(400, "DIGEST_INVALID")),
            ("HEAD", BLOB, lambda: faults.headers({"Content-Length": "7"})),
            ("HEAD", BLOB, lambda: faults.error(404, "BLOB_UNKNOWN")),
            ("PUT", r"/manifests/sha256:", lambda: faults.error(chance.choice([400, 404, 500]), "UNKNOWN")),
            ("PUT", MANIFEST, lambda: faults.error(404, chance.choice(["UNKNOWN", "MANIFEST_BLOB_UNKNOWN"]))),
            ("PUT", MANIFEST, lambda: faults.error(400, "MANIFEST_INVALID")),
            ("PUT", MANIFEST, lambda: faults.error(400, "TAG_INVALID", "the tag is immutable")),
            ("PUT", MANIFEST, lambda: faults.headers({"Docker-Content-Digest": f"sha256:{'2' * 64}"})),
        ]

    def _of_digests(self) -> list[Hazard]:
        if self._tells_digests:
            return [("GET", MANIFEST, lambda: faults.flip_bit(at=self._chance.randrange(900)))] * 2
        return [
            ("GET|HEAD", MANIFEST, lambda: faults.headers({"Docker-Content-Digest": f"sha256:{'1' * 64}"})),
            ("GET|HEAD", MANIFEST, lambda: faults.headers({"Docker-Content-Digest": None})),
        ]

    def _lies(self) -> list[Hazard]:
        where = self._chance.choice([MANIFEST, BY_TAG, BLOB, UPLOADS, LIST, ALL])
        return [
            ("*", where, faults.html),
            ("*", where, lambda: faults.raw(self._chance.choice(_HALF_HTTP))),
            ("PUT", UPLOADS, lambda: faults.answer(201)),
            ("PUT", MANIFEST, lambda: faults.answer(201)),
        ]


_NO_HTTP = (
    b"",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/1.1 500 Oh\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 502 Bad\r\nX: " + b"y" * 200_000,
)
_HALF_HTTP = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n0123456789",
    b"HTTP/1.1 201 Created\r\n\r\n",
)
