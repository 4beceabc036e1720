"""The scripts behind make: embedded PostgreSQL, the supervisor of `make run`, tests and smoke run."""
