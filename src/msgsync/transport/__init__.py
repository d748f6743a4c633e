"""Ways to carry frames between two sessions. Source: design 7."""
