"""The main job: publish, scan, approve, install, run; each expectation checked from outside."""
