"""
Passes between registries and folders to which everything happens that happens to registries, by chance and by seed.

    async with World(seed, folder) as world:
        for _ in range(6):
            await world.pass_under_faults()
        await world.settle()

Whatever comes, no tag of a target may ever point at something incomplete or wrong, credentials stay at home, and a
pass ends, after a bounded number of requests. Once nothing fails any more, one pass makes the targets equal.
"""

from chaos.world import World

__all__ = ["World"]
