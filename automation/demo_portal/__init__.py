"""A portal of our own that behaves like an authority's: a site, a phone, other customers, and trouble.

It keeps everything in memory, imports nothing of the rest of the house, and runs as a process of its own
(``holdfast portal``).
"""
