"""Mailboxes: places to leave sealed objects for devices that are not online together. Source: design 9."""
