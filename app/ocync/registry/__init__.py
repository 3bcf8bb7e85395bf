"""Everything that is said to one registry: requests in, frozen values or errors of `ocync.lib.errors` out."""
