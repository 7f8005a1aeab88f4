"""What a model is worth: ``python -m adapters.models.training.evaluation [--checkpoint FILE] [--teacher FILE]
[--photographs DIR] [--out FILE]``.
"""

from __future__ import annotations

from adapters.models.training.evaluation.command import main

if __name__ == "__main__":
    main()
