# The reference pipeline's services, one image for all: `docker build -t oneffect-reference:0.1.0 .`
FROM python:3.11-slim AS builder
RUN python -m venv /venv
COPY reference_impl/requirements.lock /
RUN /venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps \
      --only-binary=:all: -r /requirements.lock \
 && /venv/bin/pip uninstall --quiet --yes pip setuptools

FROM python:3.11-slim
RUN mkdir /data && chown 10001:10001 /data
COPY --from=builder /venv /venv
COPY reference_impl /app/reference_impl
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
HEALTHCHECK --interval=2s --timeout=3s --retries=30 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=2)"]
CMD ["python", "-m", "reference_impl.content_service"]
