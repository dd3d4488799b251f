"""GraphQL of workflows, drafts, validation and the node catalogue."""
