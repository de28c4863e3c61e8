"""The photographs of a collection that words and pictures describe, best first."""
