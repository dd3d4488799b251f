"""GraphQL plumbing: what every app's `graphql/` package is built from, and no noun of the product.

fields.py        `@field`, `@subscription`: description, permission, price
mutations.py     `@mutation`, `Payload`: savepoint, refusal -> payload.errors
connections.py   Connection, Edge, PageInfo, BoundedCount over keyset pages
errors.py        UserError and its data-carrying members
nodes.py         global ids in and out, and who loads `node(id)`
types.py         `ModelType.of(row)`
batch.py         one query for a field of a whole page
extend.py        add a field to a lower app's type without an upward import
scalars.py       SemVer, BigInt, URL and the others; money.py
access.py cost.py             what `requires` and `@cost` mean
documents.py limits.py        text to checked document
charging.py masking.py schema.py   how an operation is paid for, executed and answered
"""
