"""GraphQL of organizations, members, keys and the audit trail."""
