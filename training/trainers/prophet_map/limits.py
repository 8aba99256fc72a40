"""The tolerances of the optimisers. Pure numbers; each was measured on real series at both ends."""

VARIANCE_TOLERANCE = 1e-9
"""Relative change of the noise variance below which the rounds end."""
CENTRE_TOLERANCE = 1e-7
"""Relative gap between the variance reckoned and that of the residuals above which the fit is centred anew."""
VIOLATION = 1e-10
"""Relative excess of a gradient over the Laplace prior's that lets a changepoint in."""
COLLINEAR = 1e-12
"""Share of its own square that a changepoint must add to those in use, else it is one of them once more."""
LEAST_EIGENVALUE = 1e-14
"""Relative to the largest; smaller ones are rounding."""
MOST_ROUNDS = 60
MOST_CENTRES = 6
STEPS_FOR_EACH = 12
"""Steps of the active set for each changepoint, before a fit is given up."""
LEAST_DESCENT = 0.05
"""Share of the observations below which Newton's denominator is not trusted."""
FASTEST = 5.0
"""Times that a step of Newton may change the variance."""
