"""One CRDT document, and the fold from its entries to what is shown. Pure: no I/O, no clock. Source: design 4."""
