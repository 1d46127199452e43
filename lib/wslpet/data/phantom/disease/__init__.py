"""Disease: tumours, benign uptake that resembles them, and outcomes."""
