"""Tests of the GraphQL surface."""
