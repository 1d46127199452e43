# docker build --target server -t wsl-pet .    CPU build of PyTorch: --build-arg TORCH_INDEX=URL (docs/how-to/install.md)
FROM debian:bookworm-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv python3-dev build-essential ca-certificates
WORKDIR /src
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY lib lib
COPY model model
ARG TORCH_INDEX=
# Loops compiled here; the server's user may add those of another processor.
ENV NUMBA_CACHE_DIR=/opt/numba
RUN python3 -m venv /opt/wslpet \
    && if [ -n "$TORCH_INDEX" ]; then /opt/wslpet/bin/pip install -q --no-cache-dir --index-url "$TORCH_INDEX" "$(grep ^torch== requirements.txt)"; fi \
    && /opt/wslpet/bin/pip install -q --no-cache-dir -c requirements.txt ".[server]" \
    && /opt/wslpet/bin/wslpet setup

FROM debian:bookworm-slim AS server
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 wslpet \
    && install -d -o wslpet /studies /state
COPY --from=build /opt/wslpet /opt/wslpet
COPY --from=build --chown=wslpet /opt/numba /opt/numba
ENV PATH=/opt/wslpet/bin:/usr/local/bin:/usr/bin:/bin NUMBA_CACHE_DIR=/opt/numba
WORKDIR /home/wslpet
USER wslpet
VOLUME ["/studies", "/state"]
EXPOSE 8000
# Any answer below 500 is health: with accounts on, the server refuses this request.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["python3", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=8); c.request('GET', '/info/'); raise SystemExit(c.getresponse().status >= 500)"]
CMD ["wslpet", "serve", "/studies", "--host", "0.0.0.0", "--conf", "state_dir", "/state", "--conf", "wait_for_scans", "true"]

# An Orthanc without accounts, for compose.yaml's own network; not a PACS for patients.
FROM debian:bookworm-slim AS pacs
RUN apt-get update \
    && apt-get install -y --no-install-recommends orthanc orthanc-dicomweb \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o orthanc /pacs \
    && echo '{"Name": "wsl-pet", "StorageDirectory": "/pacs", "IndexDirectory": "/pacs", "RemoteAccessAllowed": true, "AuthenticationEnabled": false, "Plugins": ["/usr/share/orthanc/plugins"], "DicomWeb": {"Enable": true}}' > /etc/orthanc-demo.json
USER orthanc
VOLUME ["/pacs"]
EXPOSE 8042
CMD ["/usr/sbin/Orthanc", "/etc/orthanc-demo.json"]
