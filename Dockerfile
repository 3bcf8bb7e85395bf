# The container of ocync. `scripts/image` builds it; its head says which bases to give, by digest, and how to find them.
# Both are needed: a builder with Python, pip and a shell, and a base with the same minor version of Python at
# /usr/bin/python3, made for the same C library. A base of Chainguard's or a distroless one has no shell.
ARG BUILDER_IMAGE
ARG BASE_IMAGE

FROM ${BUILDER_IMAGE} AS builder
USER 0:0
WORKDIR /build

# The dependencies come first: their layer changes only with the lock. A folder `wheels` in the context, and
# PIP_NO_INDEX=1, build without any package index. Of the APIs that botocore knows, those of ECR are kept, and those
# that hand out credentials.
ARG PIP_NO_INDEX
COPY app/requirements.lock wheel[s] wheels/
RUN python3 -m pip install --disable-pip-version-check --root-user-action=ignore --no-cache-dir --no-compile \
      --only-binary=:all: --require-hashes --find-links wheels --requirement wheels/requirements.lock \
      --target /deps/opt/ocync/lib \
 && rm -rf /deps/opt/ocync/lib/bin /deps/opt/ocync/lib/*/tests \
 && cd /deps/opt/ocync/lib/botocore/data \
 && for each in *; do case $each in ecr|ecr-public|sts|sso|sso-oidc|signin|*.json) ;; *) rm -rf "$each" ;; esac; done \
 && python3 -m compileall -q --invalidation-mode unchecked-hash -s /deps -p / /deps/opt/ocync/lib

# The program is compiled ahead, by content, because nothing can be written beside it later.
COPY app/ocync /app/opt/ocync/app/ocync
COPY LICENSE /app/usr/share/licenses/ocync/
COPY pyproject.toml scripts/sbom ./
RUN python3 -m compileall -q --invalidation-mode unchecked-hash -s /app -p / /app/opt/ocync/app \
 && mkdir -p /app/usr/local/bin /app/usr/share/sbom /app/home/nonroot \
 && printf '#!/usr/bin/python3\nfrom ocync.__main__ import main\n\nmain()\n' > /app/usr/local/bin/ocync \
 && chmod 0755 /app/usr/local/bin/ocync /app/home/nonroot && chown 65532:65532 /app/home/nonroot \
 && python3 sbom /deps/opt/ocync/lib /app/opt/ocync/app pyproject.toml > /app/usr/share/sbom/ocync.cdx.json

# `--target sbom --output DIR` writes the list of packages beside the image.
FROM scratch AS sbom
COPY --from=builder /app/usr/share/sbom/ /

FROM ${BASE_IMAGE} AS image
COPY --from=builder /deps/ /
COPY --from=builder /app/ /
ENV HOME=/home/nonroot \
    PYTHONPATH=/opt/ocync/app:/opt/ocync/lib \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A base whose Python does not fit the builder's ends here and not in a cluster.
RUN ["/usr/bin/python3", "-c", "import ctypes, rpds, ssl, yaml._yaml, cryptography.x509, sigstore.verify, ocync.cli.main"]
USER 65532:65532
WORKDIR /home/nonroot

ARG VERSION
ARG REVISION
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="ocync" \
      org.opencontainers.image.description="Keeps a company's own registry filled with the container images it runs" \
      org.opencontainers.image.source="https://github.com/ocync/ocync" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

ENTRYPOINT ["/usr/local/bin/ocync"]
CMD ["sync", "--config", "/etc/ocync/config.yaml"]
