"""
Whether an image is signed by whom it has to be: pure, from digests and bytes to a verdict.

Both of cosign's layouts are known: payloads of simple signing with their signatures in annotations (under cosign's
tags, or attached by reference), and bundles of Sigstore. Nothing is asked of any network.
"""
