"""What a document must keep to, one file per kind of rule; `validate` runs them all."""
