"""Scores → numbers one can act on: metrics, their intervals, calibration. Arrays in, numbers out."""
