"""Compression: steps that share one accuracy budget, and the search over what they propose.

A step is anything that makes a model smaller or faster and may cost accuracy. This package knows no
step by name and no type of model: what it hands from one step to the next is the steps' own affair.
"""
