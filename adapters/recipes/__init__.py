"""Recipes as YAML that a person can edit, with their pictures beside it."""
