"""Code of the tenant's own."""
