"""
The painter's rooms.

Each stands on those before it: `palettes`, `outlines`, `canvas`; what several scenes show, `sky`, `water` and `life`;
the `scenes`; the `motifs`. `words`, `likeness` and `caption` stand aside.
"""
