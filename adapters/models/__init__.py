"""Vision models behind the ports of :mod:`agent.ports`.

Importing this package loads neither open_clip nor timm nor transformers; building a model does.
"""
