"""The pages in a real browser: run by `make browser`, beside the gate."""
