"""Plans, what they allow, and the ledger of what was used."""
