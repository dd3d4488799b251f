"""Drawn: the workflow language, drafts and the designer's data."""
