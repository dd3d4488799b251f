"""What we measure, and beside what: every figure in the README comes out of here."""
