"""What msgsync costs, each figure beside a plain table that does the same job: `python -m benchmarks`."""
