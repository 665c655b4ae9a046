"""The pictures of each update, on the device: kept there when they fit, else read ahead from disk by a thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from facegan.data.stored import Pictures
from facegan.training.device import upload

DEVICE_SHARE = 0.5  # of the memory of a GPU that is free, for the pictures
PART = 64 * 2**20  # bytes that are moved at once


def kept_on(device: torch.device, pictures: Pictures) -> Pictures:
    """``pictures`` in the memory of a GPU when they fit into half of what is free there; as they are otherwise."""
    if isinstance(pictures, torch.Tensor):
        return pictures.to(device)
    if device.type != "cuda":
        return pictures
    free, _ = torch.cuda.mem_get_info(device)
    if pictures.shape.numel() > DEVICE_SHARE * free:
        return pictures
    kept = torch.empty(pictures.shape, dtype=torch.uint8, device=device)
    step = max(1, PART // pictures.shape[1:].numel())
    for start in range(0, len(pictures), step):
        kept[start : start + step] = pictures[start : start + step].to(device)
    return kept


class Reader:
    """The pictures of update 0, 1, ... of a sequence whose ``places`` int64 [batch] are a function of the number.

    What is asked for once is likely to be asked for again ``stride`` updates later: it is read meanwhile.
    """

    def __init__(
        self, pictures: Pictures, places: Callable[[int], torch.Tensor], device: torch.device, stride: int = 1
    ) -> None:
        self._pictures, self._places, self._device, self._stride = pictures, places, device, stride
        self._reads: dict[tuple[int, int | None, int | None], Future[torch.Tensor]] = {}
        self._thread = None if isinstance(pictures, torch.Tensor) else ThreadPoolExecutor(1, "pictures")

    def __call__(self, number: int, rows: slice) -> torch.Tensor:
        """uint8 [rows, height, width, 3] on the device."""
        if self._thread is None:
            return self._pictures[upload(self._places(number)[rows], self._device)]
        read = self._begun(number, rows)
        self._begun(number + self._stride, rows)
        kept = (number, number + self._stride)
        self._reads = {key: value for key, value in self._reads.items() if key[0] in kept}
        return upload(read.result(), self._device)

    def _begun(self, number: int, rows: slice) -> Future[torch.Tensor]:
        assert self._thread is not None
        key = number, rows.start, rows.stop
        if key not in self._reads:
            places = self._places(number)[rows]
            self._reads[key] = self._thread.submit(lambda: self._pictures[places])
        return self._reads[key]
