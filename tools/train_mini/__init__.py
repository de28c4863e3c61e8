"""The recipe of the embedded backbone `mini`; see README.md for the commands."""
