"""Ways in and out of a replica for histories in other forms; one file a format."""
