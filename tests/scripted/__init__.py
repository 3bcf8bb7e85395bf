"""
A container registry for tests: on real sockets, correct by default, and able to do wrong by script.

Nothing but Python's standard library is needed. `python -m scripted --help` runs it as a program.
"""

from scripted.access import Basic, Bearer
from scripted.accounts import Anonymous, User
from scripted.behaviour import Behaviour, Checks, Immutable
from scripted.blobstore import BlobStore
from scripted.content import GeneratedBlob
from scripted.registry import ScriptedRegistry

__all__ = [
    "Anonymous",
    "Basic",
    "Bearer",
    "Behaviour",
    "BlobStore",
    "Checks",
    "GeneratedBlob",
    "Immutable",
    "ScriptedRegistry",
    "User",
]
