"""A target folder on a disk that is full: said so, nothing half-written, and nobody else is kept from anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e import corpus
from e2e.mirror import SYNC, Mirror

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

# In a mount namespace of its own (user_namespaces(7)), so that no rights are needed; what is there is kept.
ON_A_SMALL_DISK = """
mkdir -p layouts kept
exec unshare --map-root-user --mount sh -c '
    mount -t tmpfs -o size={size}k none layouts || exit 99
    ocync {arguments}
    code=$?
    cp -a layouts/. kept/
    exit $code'
"""


@pytest.mark.parametrize("size", [40, 100, 160])
def test_a_full_disk_fails_the_images_in_the_folder_and_no_others(
    program: Program, source: ScriptedRegistry, target: ScriptedRegistry, size: int
) -> None:
    mirror = Mirror.of(program, source, target)

    done = mirror.program.shell(ON_A_SMALL_DISK.format(size=size, arguments=" ".join(SYNC)))

    assert done.code == 1, done
    assert "the disk is full" in done.out
    assert "free some space there" in done.out
    assert "Traceback" not in done.said
    corpus.assert_mirrored(source, target)
    (program.folder / "layouts").rmdir()
    (program.folder / "kept").rename(program.folder / "layouts")
    mirror.assert_sound()

    assert mirror.program(*SYNC).code == 0
    mirror.assert_equal()
