"""Tables checked, cut and filtered."""
