"""On PYTHONPATH, Python is as after `pip install mbrelease`: without what only extras bring."""

from importlib.machinery import PathFinder

ABSENT = {"torch", "transformers", "sentence_transformers", "sklearn", "datasets", "accelerate"}
_find_spec = PathFinder.find_spec


def find_spec(name, path=None, target=None):
    return None if name in ABSENT else _find_spec(name, path, target)


PathFinder.find_spec = find_spec
