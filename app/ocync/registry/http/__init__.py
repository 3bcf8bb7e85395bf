"""HTTP/1.1: connections, TLS and proxies. Knows nothing of registries."""
