"""Tests of what starts, watches and stops the product."""
