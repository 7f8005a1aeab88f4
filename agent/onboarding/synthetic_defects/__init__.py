"""Synthetic defects on images of good parts, to try a recipe before anybody has seen a real one."""

from agent.onboarding.synthetic_defects.defect import KINDS, SyntheticDefect, add_defect
from agent.onboarding.synthetic_defects.foreground import estimate_foreground, inspected_foreground

__all__ = ["KINDS", "SyntheticDefect", "add_defect", "estimate_foreground", "inspected_foreground"]
