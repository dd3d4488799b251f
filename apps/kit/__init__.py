"""The floor: errors, events, clock, ids, pages and the GraphQL plumbing; no models, no nouns."""
