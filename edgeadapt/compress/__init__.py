"""Compression: steps that share one accuracy budget, and the search over their proposals.

A step makes a model smaller or faster and may cost accuracy. This package depends on no particular
step and no type of model: it passes each step's result to the next one without looking into it.
"""
