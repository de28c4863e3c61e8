"""Tags as one page to look at and to correct, without a server and without a network."""
