"""HTTP: routes, request models, guards and accounts."""
