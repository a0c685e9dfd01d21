"""
Draws pictures and the frames of videos.

`picture` is the entry. It uses, each building on the ones before: `palettes`, `outlines` and `canvas`; `sky`, `water`
and `trees_and_birds`, which several scenes share; the `scenes`; the `motifs`. `prompt_keywords`, `reference_blend`,
`caption` and `watermark` are independent of these.
"""
