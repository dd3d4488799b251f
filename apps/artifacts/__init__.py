"""Content-addressed objects of a tenant: datasets, models, large payloads."""
