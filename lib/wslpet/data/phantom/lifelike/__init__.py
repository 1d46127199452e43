"""Lifelike phantoms: organs that lie and measure as in real patients, and widely randomised uptake."""
