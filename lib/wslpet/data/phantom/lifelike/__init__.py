"""Lifelike phantoms: positions and sizes of organs as in real patients, and widely randomised uptake."""
