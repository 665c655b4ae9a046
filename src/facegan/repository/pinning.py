"""Which pictures a run uses, written into ``params.yaml``."""

from facegan.errors import FaceganError
from facegan.repository.project import Project
from facegan.repository.yaml_file import read_commented, write_commented


def pin_pictures(project: Project, newest: bool = False) -> bool:
    """Write what identifies the pictures into params.yaml; true when that is not what was there."""
    params = project.params().data
    document = read_commented(project.root / "params.yaml")
    before = params.model_dump()[params.source]
    handle = params.kaggle.handle
    match params.source:
        case "folder":
            from facegan.data.folder import open_pictures

            assert params.folder.path is not None  # the schema's rule
            with open_pictures(project.home / params.folder.path) as pictures:
                digest = str(pictures.description["digest"])
        case "kaggle":
            from facegan.data import kaggle

            if newest:
                handle = document["data"]["kaggle"]["handle"] = kaggle.newest(handle)
            digest = kaggle.fetch(handle, None).digest
        case _:
            raise FaceganError(f"data.source: {params.source} needs no pin; its pictures follow from its parameters")
    document["data"][params.source]["digest"] = digest
    write_commented(project.root / "params.yaml", document)
    if handle != params.kaggle.handle:
        print(f"data.kaggle.handle is now {handle}")
    print(f"data.{params.source}.digest is now {digest}")
    return digest != before["digest"] or handle != params.kaggle.handle
