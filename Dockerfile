# One image for every process of docker-compose.yml; the command chooses.
FROM python:3.12-slim AS build

ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /app
RUN pip install --no-cache-dir uv==0.13.8
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --extra cloud --extra fast
COPY . .
# The key of this one command; the image holds none.
RUN PERENNIAL_SECRET_KEY=only-for-collectstatic PERENNIAL_STATIC_ROOT=static_root .venv/bin/python manage.py collectstatic --noinput

FROM python:3.12-slim

RUN useradd --system --uid 10001 --create-home perennial \
    && install -d -o perennial -g perennial /var/lib/perennial
WORKDIR /app
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    PERENNIAL_PROFILE=production \
    PERENNIAL_STATE_DIR=/var/lib/perennial \
    PERENNIAL_LOG_FORMAT=json
USER perennial
VOLUME /var/lib/perennial
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["gunicorn", "config.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "4", "--no-control-socket"]
