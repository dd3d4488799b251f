"""The pure workflow language: documents, node declarations and what can be said of them without running them."""
