"""Runs over REST: start one and wait for its end, look, cancel."""
