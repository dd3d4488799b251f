"""The pure workflow language: documents, node declarations, and what both say without running."""
