"""Evaluation: datasets, the authors' reference draw, metrics, and a method's figures on them."""
