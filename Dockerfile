# syntax=docker/dockerfile:1
# By tag and not by digest: a rebuild is how the base's security fixes arrive, and what is built here is pinned by
# the lock file. A release records the digest it was built from in its own label and signature.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# ---- build: everything with a compiler's or an installer's needs stays here
FROM ${PYTHON_IMAGE} AS build
# Machine code is compiled once, here, for this baseline and for nothing the build machine happens to have beyond it
# (AVX2 and FMA: every x86-64 server since 2015). Both variables are part of the cache's key, so the final stage sets
# the same two. For arm64 build with: --build-arg CPU_BASELINE=neoverse-n1
ARG CPU_BASELINE=x86-64-v3
ENV NUMBA_CPU_NAME=${CPU_BASELINE} \
    NUMBA_CPU_FEATURES="" \
    NUMBA_CACHE_DIR=/opt/ess/numba-cache \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/ess/venv
# The lock file alone first: this layer changes only when a dependency does.
COPY requirements/runtime.lock requirements/runtime.lock
RUN /opt/ess/venv/bin/pip install --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md ./
COPY engine engine
COPY store store
COPY service service
COPY training training
COPY reports reports
COPY clients/__init__.py clients/__init__.py
COPY clients/python clients/python
COPY benchmarks benchmarks
COPY generated generated
RUN /opt/ess/venv/bin/pip install --no-deps --no-build-isolation --no-index . \
    && cd / && /opt/ess/venv/bin/python -m service.warmup
COPY deploy/container-entrypoint.sh /opt/ess/entrypoint.sh
RUN chmod 0555 /opt/ess/entrypoint.sh && chmod -R a+rX /opt/ess

# ---- final: interpreter, environment, compiled code
FROM ${PYTHON_IMAGE} AS final
ARG CPU_BASELINE=x86-64-v3
LABEL org.opencontainers.image.title="execution-strategy-service" \
      org.opencontainers.image.description="Which execution algorithm to run for a parent order, at what cost, how sure, and why" \
      org.opencontainers.image.version="0.1.0" \
      org.execution-strategy.cpu-baseline="${CPU_BASELINE}"
# A number and not a name, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 ess \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/ess --no-create-home --shell /usr/sbin/nologin ess \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/ess
COPY --from=build /opt/ess /opt/ess
# Everything that is ever written lies under /var/lib/ess, so `--read-only` works: the compiler's cache is copied there
# by the entrypoint, because numba takes no cache that it cannot write to.
ENV PATH=/opt/ess/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/ess \
    TMPDIR=/var/lib/ess/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CPU_NAME=${CPU_BASELINE} \
    NUMBA_CPU_FEATURES="" \
    NUMBA_CACHE_DIR=/var/lib/ess/numba-cache \
    ESS_ENVIRONMENT=production \
    ESS_GRPC_ADDRESS=0.0.0.0:50051 \
    ESS_HTTP_ADDRESS=0.0.0.0:8080 \
    ESS_TLS_CERTIFICATE=/etc/ess/tls/tls.crt \
    ESS_TLS_KEY=/etc/ess/tls/tls.key \
    ESS_TLS_CLIENT_CA=/etc/ess/tls/ca.crt \
    ESS_POLICY_FILE=/etc/ess/policy/policy.toml \
    ESS_DATA_DIR=/var/lib/ess/data
WORKDIR /var/lib/ess
VOLUME /var/lib/ess
USER 10001:10001
EXPOSE 50051 8080
# `ess serve` drains at SIGTERM and exits 0.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["ess", "health"]
ENTRYPOINT ["/opt/ess/entrypoint.sh"]
CMD ["ess", "serve"]
