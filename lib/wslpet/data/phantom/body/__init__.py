"""People: their outline, organs and the canvas that they are painted on."""
