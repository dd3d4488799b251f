"""Shares workflows: listings and releases, search, publishing, approval, installing."""
