"""Tags in parts: as many photographs as there are, by as many processes as there are."""
