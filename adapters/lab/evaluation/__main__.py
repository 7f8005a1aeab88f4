"""What a model is worth: ``python -m adapters.lab.evaluation [--checkpoint FILE] [--teacher FILE]
[--photographs DIR] [--out FILE]``.
"""

from __future__ import annotations

from adapters.lab.evaluation.command import main

if __name__ == "__main__":
    main()
