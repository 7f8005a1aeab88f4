"""How the bundled tiny model is made: drawn images, distillation, words. Not imported at run time."""
