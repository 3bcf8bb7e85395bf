"""HTTP as this program needs it: one transport, trust, proxies. Knows nothing of registries."""
