"""Training's admin: sources, policies, batches, runs, forecasts, workers; and its panels on the registry's pages."""

from training.admin import attached, batches, policies, runs, sources, workers

__all__ = ["attached", "batches", "policies", "runs", "sources", "workers"]
