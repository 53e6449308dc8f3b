# The gateway (and, with another command, Triton's agent): no torch, no Triton in it.
FROM python:3.12-slim

WORKDIR /app
COPY requirements/main.lock requirements/main.lock
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
# The lock as constraints: exact versions, but only of what the light base needs.
RUN pip install --no-cache-dir --constraint requirements/main.lock ./client .

RUN useradd --system --create-home --uid 1000 recency && mkdir /data && chown recency /data
USER recency
ENV RECENCY_DATA_PATH=/data
EXPOSE 50051 8080
ENTRYPOINT ["recency"]
CMD ["serve", "--address", "0.0.0.0:50051", "--http-address", "0.0.0.0:8080"]
