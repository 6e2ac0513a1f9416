# The image of AMOS: one process tree (supervisor, workers, recorder) that writes to /data, /tmp and, if told so, /var/log/amos.
#
#   docker build -t amos .
#   docker run --rm amos --help                        the command line
#   docker run --rm --read-only --tmpfs /tmp -v amos:/data amos doctor
#
# The base is pinned by tag. To pin the very bytes, look the digest up once and write it behind the tag:
#   docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
#   FROM python:3.11-slim-bookworm@sha256:...
# Not a newer Python: Hypercorn 0.18 does not keep its grace time from 3.12 on.

FROM python:3.11-slim-bookworm AS packages

WORKDIR /build
COPY requirements.lock .
# The lock is complete and hashed, so nothing is resolved here, and nothing unnamed gets in.
RUN python -m venv --without-pip /opt/amos \
 && python -m pip --python /opt/amos/bin/python install --no-cache-dir --no-deps --require-hashes \
    --disable-pip-version-check -r requirements.lock


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="AMOS" \
      org.opencontainers.image.description="A self-hosted web-search gateway for agents, scripts and people" \
      org.opencontainers.image.licenses="Apache-2.0"

# 10001: above every system and login user, so that it is nobody on the host either.
RUN groupadd --gid 10001 amos \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin amos \
 && install --directory --owner=10001 --group=10001 --mode=0750 /data /var/log/amos

COPY --from=packages /opt/amos /opt/amos
WORKDIR /app
COPY LICENSE ./
COPY alembic alembic
COPY orchestrator orchestrator
COPY storage storage
COPY api api
COPY docs docs
RUN ["/opt/amos/bin/python", "-m", "compileall", "-q", "/app/orchestrator", "/app/storage", "/app/api", "/app/alembic"]

ENV PATH=/opt/amos/bin:$PATH \
    PYTHONPATH=/app:/app/api/sdk \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AMOS_DATA_DIR=/data

USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000

# AMOS finishes the calls under way and drains its journal: give it 45 s (docker stop -t 45).
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/livez', timeout=2)"]

ENTRYPOINT ["python", "-m", "api.cli"]
CMD ["serve"]
