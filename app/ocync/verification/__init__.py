"""
Whether a trusted signer has signed an image: from digests and bytes to a verdict, without network access.

Both formats of cosign are supported: simple signing payloads with signatures in annotations (under cosign's tags,
or as referrers), and Sigstore bundles.
"""
