"""What the bench's figures are made of."""
