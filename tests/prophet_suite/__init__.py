"""Prophet's own tests, from its source distribution, with the exact optimiser in the place of CmdStan."""
