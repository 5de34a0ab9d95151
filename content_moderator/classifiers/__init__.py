"""Everything that turns texts into scores, and the wrappers around it. `factory` builds the line."""
