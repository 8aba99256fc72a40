"""Exact fits of Prophet's model beside CmdStan's: speed, optimum, forecasts. `python -m benchmarks.prophet_fit`."""

import os

# Before NumPy is imported, here and in every process: what is measured is one core.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
