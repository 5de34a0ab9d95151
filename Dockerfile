# Installs the dependencies into a virtual environment, with checked hashes.
FROM python:3.13.7-slim-bookworm AS dependencies
RUN python -m venv /venv
COPY requirements/runtime.txt /tmp/runtime.txt
RUN /venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r /tmp/runtime.txt \
    && /venv/bin/python -m pip check

# The final image: no compiler, no pip cache, no root. It only writes to /dev/shm, so it can be started
# with a read-only root file system: docker run --read-only --cap-drop ALL -p 8000:8000 IMAGE; docs/access.md has the keys
FROM python:3.13.7-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin moderator
COPY --from=dependencies /venv /venv
WORKDIR /app
COPY wsgi.py gunicorn.conf.py ./
COPY config config
COPY content_moderator content_moderator
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MODERATOR_ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/livez', timeout=2)"]
CMD ["python", "-m", "content_moderator", "serve"]
