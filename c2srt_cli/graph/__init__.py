"""Labels → graph."""
