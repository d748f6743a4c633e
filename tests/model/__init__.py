"""The reference model: what msgsync promises, written from design 3 and 4 and from nothing else.

A replica is a set of entries a document; merging is union; what is shown is a fold of the set. Nothing here
removes an entry, encodes a byte or knows a CRDT library, so nothing here can share a mistake with the core.
"""
