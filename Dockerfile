# One image for all of the reference's services, and one for users who load them: `make image`.
FROM python:3.11-slim AS packages
RUN python -m venv /venv
ENV INSTALL="/venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps"

FROM packages AS service-packages
COPY reference_impl/requirements.lock /
RUN $INSTALL --only-binary=:all: -r /requirements.lock && /venv/bin/pip uninstall --quiet --yes pip setuptools

FROM packages AS load-packages
COPY scenarios/requirements.lock /
RUN $INSTALL --only-binary=:all: -r /requirements.lock && /venv/bin/pip uninstall --quiet --yes pip setuptools

FROM python:3.11-slim AS bare
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore setuptools wheel pip; mkdir /data && chown 10001:10001 /data
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001

FROM bare AS load
COPY --from=load-packages /venv /venv
COPY harness /app/harness
COPY scenarios/locustfile.py /app/scenarios/
ENV PYTHONPATH=/app
ENTRYPOINT ["locust", "-f", "scenarios/locustfile.py"]

FROM bare AS services
COPY --from=service-packages /venv /venv
COPY reference_impl /app/reference_impl
HEALTHCHECK --interval=2s --timeout=3s --retries=30 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=2)"]
CMD ["python", "-m", "reference_impl.content_service"]
