"""Corrections and people's own keywords → a profile that scores and thresholds follow."""
