"""GraphQL of versions, differences, deployments and approvals."""
