"""The column of apps; each imports only what stands below it."""
