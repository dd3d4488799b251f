"""Pages of the marketplace: the shelf, installing, publishing, reviewing."""
