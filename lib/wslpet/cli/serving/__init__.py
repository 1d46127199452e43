"""`wslpet serve`: the server, its port, and what an installation lacks for it."""
