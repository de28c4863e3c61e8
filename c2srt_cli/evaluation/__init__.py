"""Scores and annotations → what the published protocols say of them, in tables beside the published figures."""
