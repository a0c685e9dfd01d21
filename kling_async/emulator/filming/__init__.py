"""
Makes videos and sounds of real formats. It needs PyAV, except for `melody`.

`film` makes the frames of a video: a `camera` moves over one or two `worlds`, in which `sprites` move, and an `overlay`
adds the caption. `planes` has the colours of video. `encoding` makes the files.
"""
