"""Commands of the artifacts."""
