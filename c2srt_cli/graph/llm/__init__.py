"""A graph from a language model: the question, the server, its replies, and what they say."""
