"""A factory played against a real agent: kills, restarts, a full disk, garbage, load, a long day.

``python -m tests.chaos`` runs the campaigns in their long form and writes a report; the tests
``tests/system/test_chaos_*.py`` run the same ones in a bounded time.
"""
