"""Onboarding: a new SKU gets its recipe, its words, its references and its threshold."""

from agent.onboarding.context import OnboardingContext, OnboardingOptions, noun_of
from agent.onboarding.coordinator import OnboardingCoordinator

__all__ = ["OnboardingContext", "OnboardingCoordinator", "OnboardingOptions", "noun_of"]
