"""`wslpet serve` and `wslpet setup`: start the server, and complete an installation for it."""
