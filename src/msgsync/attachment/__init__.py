"""Attachments: how a file is cut and sealed, what it is, and what it may be called. Pure. Source: design 11."""
