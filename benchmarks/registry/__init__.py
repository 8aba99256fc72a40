"""The registry beside MLflow's, over plain HTTP on one PostgreSQL server: `python -m benchmarks.registry --json`."""
