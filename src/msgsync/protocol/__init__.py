"""Sans-IO exchanges between replicas: frames and sessions. Source: design 7."""
