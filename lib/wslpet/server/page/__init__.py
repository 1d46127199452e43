"""The annotation page: its API and its static files."""
