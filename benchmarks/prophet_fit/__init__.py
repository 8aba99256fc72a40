"""Exact fits of Prophet's model beside CmdStan's: speed, optimum, forecasts. `python -m benchmarks.prophet_fit`."""
