"""Onboarding: a new SKU gets its recipe, its words, its references and its threshold."""

from agent.onboarding.context import Office, OnboardingOptions, noun_of
from agent.onboarding.coordinator import Onboarding

__all__ = ["Office", "Onboarding", "OnboardingOptions", "noun_of"]
