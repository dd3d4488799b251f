"""Models trained, judged, exported and used."""
