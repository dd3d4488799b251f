"""The floor: errors, events, clock, ids, pages and the GraphQL plumbing. No models and no nouns of the product."""
