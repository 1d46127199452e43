"""Annotations: a viewer's or the page's click, a submitted label → a seed on disk."""
