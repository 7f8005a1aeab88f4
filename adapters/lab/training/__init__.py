"""How the bundled tiny model is made: drawn pictures, distillation, words. Not imported at run time."""
