"""Scores → numbers one can act on: calibration here, metrics later. Arrays in, arrays out."""
