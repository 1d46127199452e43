FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential orthanc orthanc-dicomweb \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 wslpet \
    && install -d -o wslpet /wsl-pet /wsl-pet/demo /studies
WORKDIR /wsl-pet
USER wslpet
COPY --chown=wslpet Makefile pyproject.toml requirements*.txt README.md LICENSE ./
COPY --chown=wslpet lib lib
COPY --chown=wslpet model model
RUN make setup
COPY --chown=wslpet . .
# What was set up above is younger than the pins, whatever times the copy has.
RUN touch .venv/ready-*
VOLUME ["/studies", "/wsl-pet/demo"]
EXPOSE 8000
# Any answer below 500 is health: with accounts on, the server refuses this request.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
  CMD [".venv/bin/python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=8); c.request('GET', '/info/'); raise SystemExit(c.getresponse().status >= 500)"]
CMD ["make", "demo-pacs", "HOST=0.0.0.0"]
