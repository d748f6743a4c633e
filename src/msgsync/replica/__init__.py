"""The facade an app holds. Source: design 12."""
