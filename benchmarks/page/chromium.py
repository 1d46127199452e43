"""Chromium, as the benchmarks of the page start it."""

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking")
LAPTOP, TABLET = {"width": 1366, "height": 768}, {"width": 820, "height": 1180}
# What a laptop has at 150 %, in CSS pixels, is the last.
DESKTOP, ENLARGED = {"width": 1920, "height": 1080}, {"width": 911, "height": 512}
WAIT_MS = 120_000
