"""
What a wrong name was probably meant to be: a typing error, another spelling, or the word of another service.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NoReturn

from kling_async.errors import BrokenRule, InvalidRequest
from kling_async.wire.redaction import hide_secrets, shorten

__all__ = ["nearest_names", "refuse_names", "show_unknown", "unknown_field_rule"]

_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model_name",),
    "modelid": ("model_name",),
    "modelversion": ("model_name",),
    "engine": ("model_name",),
    "version": ("model_name",),
    "size": ("resolution", "aspect_ratio"),
    "imagesize": ("resolution", "aspect_ratio"),
    "dimensions": ("resolution", "aspect_ratio"),
    "width": ("aspect_ratio", "resolution"),
    "height": ("aspect_ratio", "resolution"),
    "quality": ("resolution", "mode"),
    "ratio": ("aspect_ratio",),
    "aspect": ("aspect_ratio",),
    "ar": ("aspect_ratio",),
    "orientation": ("aspect_ratio",),
    "numimages": ("n",),
    "numberofimages": ("n",),
    "numoutputs": ("n",),
    "numsamples": ("n",),
    "num": ("n", "number"),
    "number": ("n",),
    "count": ("n", "number"),
    "imagecount": ("n",),
    "amount": ("n",),
    "batchsize": ("n",),
    "samples": ("n",),
    "text": ("prompt",),
    "description": ("prompt",),
    "caption": ("prompt",),
    "input": ("prompt",),
    "query": ("prompt",),
    "message": ("prompt",),
    "negative": ("negative_prompt",),
    "exclude": ("negative_prompt",),
    "reference": ("image", "image_list"),
    "referenceimage": ("image", "image_list"),
    "picture": ("image", "image_list"),
    "photo": ("image", "image_list"),
    "img": ("image", "image_list"),
    "imageurl": ("image", "image_list"),
    "imagepath": ("image", "image_list"),
    "inputimage": ("image", "image_list"),
    "initimage": ("image", "image_list"),
    "images": ("image", "image_list"),
    "strength": ("image_fidelity",),
    "imagestrength": ("image_fidelity",),
    "fidelity": ("image_fidelity", "human_fidelity"),
    "startimage": ("image",),
    "firstframe": ("image",),
    "startframe": ("image",),
    "lastframe": ("image_tail",),
    "endframe": ("image_tail",),
    "endimage": ("image_tail",),
    "tailimage": ("image_tail",),
    "seconds": ("duration",),
    "length": ("duration",),
    "audio": ("sound",),
    "withaudio": ("sound",),
    "generateaudio": ("sound",),
    "camera": ("camera_control",),
    "cfg": ("cfg_scale",),
    "guidance": ("cfg_scale",),
    "guidancescale": ("cfg_scale",),
    "webhook": ("callback_url",),
    "webhookurl": ("callback_url",),
    "notifyurl": ("callback_url",),
    "externalid": ("external_task_id",),
    "taskid": ("external_task_id",),
    "requestid": ("external_task_id",),
    "watermark": ("watermark_info",),
    "elements": ("element_list",),
    "key": ("api_key",),
    "apitoken": ("api_key",),
    "token": ("api_key",),
    "url": ("base_url",),
    "host": ("base_url",),
    "apibase": ("base_url",),
    "endpoint": ("base_url",),
    "concurrency": ("slots",),
    "maxconcurrency": ("slots",),
    "maxconcurrent": ("slots",),
    "workers": ("slots",),
    "retries": ("retry",),
    "maxretries": ("retry",),
    "pollinterval": ("polling",),
    "proxy": ("http",),
    "callback": ("callbacks", "callback_url"),
    "extension": ("ext",),
    "suffix": ("ext",),
}
"""
Words of other services, and the fields that mean the same here; see `_squashed`.
"""

_PAIR: Final = 'give both keys first, as AccessKey("…", "…")'
_ELSEWHERE: Final[Mapping[str, str]] = {
    "access_key": _PAIR,
    "secret_key": _PAIR,
    "ak": _PAIR,
    "sk": _PAIR,
    "secret": _PAIR,
    "request": "give the request first, without a name",
    "timeout": "`generate` and `TaskHandle.wait` take it",
}
"""
Names that belong elsewhere.
"""

_PART: Final = 3
_MOST: Final = 3
"""
The characters of a name that may stand for names of which it is a part, or which are parts of it, and the number of
these.
"""

_SECRET_WORDS: Final = ("key", "token", "secret", "passw", "auth", "credential")


def nearest_names(name: str, known: Collection[str]) -> tuple[str, ...]:
    """
    Return those of *known* that *name* probably stands for, the likeliest first; none if nothing is near.
    """
    squashed = _squashed(name)
    spelled = {_squashed(each): each for each in known}
    if squashed in spelled:  # aspectRatio, aspect-ratio
        return (spelled[squashed],)
    if synonyms := tuple(each for each in _SYNONYMS.get(squashed, ()) if each in known):
        return synonyms
    import difflib  # noqa: PLC0415 (only errors need it)

    near = difflib.get_close_matches(squashed[:100], spelled, n=2, cutoff=0.75)
    if not near and len(squashed) >= _PART:
        near = [each for each in spelled if squashed in each or (len(each) >= _PART and each in squashed)][:_MOST]
    return tuple(spelled[each] for each in near)


def unknown_field_rule(
    owner: str, name: str, known: Collection[str], *, noun: str = "field", lists_fields: bool = True
) -> str:
    """
    Return the rule for a name that is not a field of *owner*, or what else *noun* says; its fields are *known*.
    """
    near = nearest_names(name, known)
    rule = f"is not {'an' if noun[0] in 'aeiou' else 'a'} {noun} of {owner}"
    if near:
        rule += f"; did you mean {' or '.join(near)}?"
    return f"{rule}{'' if near else '.'} Its {noun}s are {', '.join(known)}" if lists_fields else rule


def refuse_names(
    owner: str, given: Mapping[str, object], known: Collection[str], missing: Iterable[str] = (), *, noun: str = "field"
) -> NoReturn:
    """
    Raise InvalidRequest for the names in *given* that are none of *known*, and for those that are *missing*.

    Args:
        owner: What has the fields, such as a class of requests.
        noun: What the names are. The values of an "argument" are not shown: one may be a key.
    """
    unknown = sorted(given.keys() - {*known})
    meant = {near for name in unknown for near in nearest_names(name, known)}
    rules = {name: "is missing: give it first, or by name" for name in missing if name not in meant}
    for name in unknown:
        is_last = name == unknown[-1]  # the known names are listed once
        rule = unknown_field_rule(owner, name, known, noun=noun, lists_fields=is_last)
        is_elsewhere = name in _ELSEWHERE and not nearest_names(name, known)
        rules[name] = f"is no {noun}: {_ELSEWHERE[name]}" if is_elsewhere else rule
    broken = tuple(BrokenRule(name, _shown(given.get(name), name, noun), rule) for name, rule in rules.items())
    raise InvalidRequest("; ".join(map(str, broken)), broken=broken) from None


def _shown(value: object, name: str, noun: str) -> str:
    return f"<{type(value).__name__}>" if noun == "argument" else show_unknown(name, value)


def show_unknown(name: str, value: object) -> str:
    """
    Return the value of an unknown field, fit to be shown: it may be anything, such as a key or a picture.
    """
    if any(word in name.lower() for word in _SECRET_WORDS) or isinstance(value, bytes | bytearray):
        return f"<{type(value).__name__}>"
    try:
        return shorten(hide_secrets(repr(value)))
    except Exception:  # noqa: BLE001 (the caller's `__repr__`, or a number of more than 4300 digits)
        return f"<{type(value).__name__}>"


def _squashed(name: str) -> str:
    # Without what spellings differ in: aspectRatio, aspect-ratio, "Aspect ratio".
    return "".join(each for each in name.casefold() if each.isalnum())
