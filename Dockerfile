FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential orthanc orthanc-dicomweb \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /wsl-pet
COPY Makefile pyproject.toml requirements*.txt README.md LICENSE ./
COPY lib lib
COPY model model
RUN make setup
COPY . .
# What was set up above is younger than the pins, whatever times the copy has.
RUN touch .venv/ready-*
EXPOSE 8000
CMD ["make", "demo-pacs", "HOST=0.0.0.0"]
