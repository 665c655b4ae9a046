"""Which pictures a run uses, written into ``params.yaml``."""

from facegan.data.source import LOCAL, open_source
from facegan.errors import FaceganError
from facegan.params_data import DataParams
from facegan.repository.project import Project
from facegan.repository.yaml_file import read_commented, write_commented


def pin_pictures(project: Project, newest: bool = False) -> bool:
    """Write what identifies the pictures into params.yaml; true when that is not what was there."""
    params = project.params().data
    pin = _pin(project, params, newest)
    document = read_commented(project.root / "params.yaml")
    document["data"][params.source].update(pin)
    write_commented(project.root / "params.yaml", document)
    before = getattr(params, params.source).model_dump()
    for key, value in pin.items():
        if value != before[key] or key in ("digest", "revision"):
            print(f"data.{params.source}.{key} is now {value}")
    return any(value != before[key] for key, value in pin.items())


def _pin(project: Project, params: DataParams, newest: bool) -> dict[str, str]:
    """The keys of the source's block, with what they should be."""
    if params.source in LOCAL:
        unpinned = {**params.model_dump(), "limit": None}
        unpinned[params.source]["digest"] = None
        with open_source(DataParams.model_validate(unpinned), project.home) as pictures:
            return {"digest": str(pictures.description["digest"])}
    if params.source == "kaggle":
        from facegan.data import kaggle

        handle = kaggle.newest(params.kaggle.handle) if newest else params.kaggle.handle
        return {"handle": handle, "digest": kaggle.fetch(handle, None).digest}
    if params.source == "hub":
        from facegan.data import hub

        assert params.hub.name is not None  # the schema's rule
        return {"revision": hub.newest(params.hub.name) if newest or not params.hub.revision else params.hub.revision}
    raise FaceganError(f"data.source: {params.source} needs no pin; its pictures follow from its parameters")
