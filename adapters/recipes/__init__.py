"""Recipes as YAML that a person can edit, with their images beside it."""
