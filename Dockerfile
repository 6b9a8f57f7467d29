# nstjax with CUDA:
#   docker build -t nstjax .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" nstjax transfer photo.jpg painting.jpg -o out.png
FROM python:3.12-slim

COPY . /src
# JAX's CUDA wheels bring the CUDA libraries; the host provides the driver.
RUN pip install --no-cache-dir '/src[cuda,video,heic]' && rm -rf /src

# Weights and compiled programs: mount a volume here to keep them.
ENV NSTJAX_CACHE=/cache NSTJAX_STATE=/cache/state
RUN install -d -m 1777 /cache

WORKDIR /work
ENTRYPOINT ["nstjax"]
CMD ["--help"]
