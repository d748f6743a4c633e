"""The SQLite file of a replica: documents, read model, search. Source: design 6."""
