"""A portal of our own that behaves like an authority's: a site, a phone, other customers, and trouble."""
