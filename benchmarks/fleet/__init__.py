"""A whole fleet is retrained, gate and registry included, beside the plain loop that people write instead."""
