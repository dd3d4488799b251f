"""Pages through Django's test client: what they show, refuse and cost."""
