"""The vault in the API: names and metadata, never a secret's value."""
