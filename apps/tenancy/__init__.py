"""Who owns what: organizations, members, environments, scope, limits, keys, the audit trail."""
