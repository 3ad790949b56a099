"""Recognize the text of a drawn page with RapidOCR (PP-OCRv6); runs in the parser process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .text_layout import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]  # (height, width, 3), RGB

_MAX_SIDE = 1600  # pixels in which text is searched; it is recognized in those of the drawing
_MIN_CONFIDENCE = 0.5  # of a line; below it are pictures, and scribbles
_TALL = 1.5  # a box this much taller than wide is a line of a page that lies on its side
_MOST_SIDEWAYS = 0.5  # share of the lines' lengths
_UNSURE, _LONG = 0.9, 10  # below this confidence a line longer than 10 heights is read in halves
_NUM_TRIED = 4
_SURE = 0.9  # probability at which a line counts as upside down
_MIN_CONTRAST = 24  # of 255: a page with less is blank


class Recognized(NamedTuple):
    """The lines of a page in pixels of the upright page, and their mean confidence by length."""

    boxes: list[Box]
    confidence: float


class _TurnedError(Exception):
    """The page has to be turned counterclockwise by this many quarters first."""

    def __init__(self, quarters: int) -> None:
        super().__init__(quarters)
        self.quarters = quarters


class Recognizer:
    """The models, loaded once a process. Nothing is downloaded: they come with the package."""

    def __init__(self, num_threads: int) -> None:
        self._engine = _make_engine(num_threads)

    def read(self, image: Image) -> Recognized:
        """Recognize a page in any of the four orientations.

        Args:
            image: The page, (height, width, 3) in RGB.
        """
        import numpy as np

        if int(image.max()) - int(image.min()) < _MIN_CONTRAST:
            return Recognized([], 1.0)
        turned = bgr = np.ascontiguousarray(image[:, :, ::-1])
        quarters, found = 0, None
        for may_turn in (True, True, False):  # lying on its side, then upside down
            self._engine.may_turn = may_turn
            try:
                found = self._engine(turned)
                break
            except _TurnedError as error:
                quarters += error.quarters
                turned = np.ascontiguousarray(np.rot90(bgr, quarters))
        if found is None or not hasattr(found, "boxes") or found.boxes is None or not found.txts:
            return Recognized([], 1.0)
        boxes = [
            Box(text, float(score), tuple((float(x), float(y)) for x, y in corners))
            for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True)
        ]
        total = sum(len(box.text) for box in boxes)
        confidence = sum(len(box.text) * box.confidence for box in boxes) / max(total, 1)
        return Recognized(boxes, confidence)


def _make_engine(num_threads: int) -> Any:
    """A RapidOCR that notices turned pages, and searches in a smaller picture than it reads.

    Its own classifier would turn single lines, right ones among them.
    """
    from rapidocr import RapidOCR

    class Engine(RapidOCR):  # type: ignore[misc, unused-ignore]
        may_turn = True

        def detect_and_crop(self, img: Any, op_record: Any) -> Any:
            crops, found = super().detect_and_crop(img, op_record)
            if self.may_turn and _lies_on_side(found.boxes):
                raise _TurnedError(1)
            return crops, found

        def cls_and_rotate(self, img: list[Any]) -> Any:
            _, found = super().cls_and_rotate(img)
            widths = [crop.shape[1] for crop in img]
            turned = sum(
                width
                for width, (label, sure) in zip(widths, found.cls_res, strict=True)
                if label == "180" and sure > _SURE
            )
            if self.may_turn and turned > 0.5 * sum(widths) and self._reads_better_turned(img):
                raise _TurnedError(2)
            return img, found

        def _reads_better_turned(self, img: list[Any]) -> bool:
            """Whether a few lines are read with more confidence upside down.

            The classifier sees a line in 192 x 48 pixels, and errs on long ones.
            """
            some = sorted(img, key=lambda crop: crop.shape[1], reverse=True)[:_NUM_TRIED]
            turned = [crop[::-1, ::-1] for crop in some]
            upright, upside_down = (super(Engine, self).recognize_txt(x) for x in (some, turned))
            return bool(sum(upside_down.scores) > sum(upright.scores))

        def recognize_txt(self, img: list[Any]) -> Any:
            found = super().recognize_txt(img)
            again = [
                number
                for number, (crop, score) in enumerate(zip(img, found.scores, strict=True))
                if score < _UNSURE and crop.shape[1] > _LONG * crop.shape[0]
            ]
            if not again:
                return found
            halves = [half for number in again for half in _halves(img[number])]
            parts = super().recognize_txt(halves)
            texts, scores = list(found.txts), list(found.scores)
            for index, number in enumerate(again):
                pair = slice(2 * index, 2 * index + 2)
                score = sum(parts.scores[pair]) / 2
                if score > scores[number]:
                    texts[number], scores[number] = " ".join(parts.txts[pair]), score
            found.txts, found.scores = tuple(texts), tuple(scores)
            return found

    return Engine(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": 10**6,
            "Global.text_score": _MIN_CONFIDENCE,
            "Det.limit_type": "max",
            "Det.limit_side_len": _MAX_SIDE,
            "Rec.rec_batch_num": 1,  # lines of different lengths in a batch are padded
            "EngineConfig.onnxruntime.intra_op_num_threads": num_threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _halves(line: Any) -> tuple[Any, Any]:
    """Cut a line in two at the widest blank near its middle; `line` is (height, width, 3)."""
    import numpy as np

    width = line.shape[1]
    start, end = int(0.35 * width), int(0.65 * width)
    spread = line[:, start:end].max(axis=(0, 2)) - line[:, start:end].min(axis=(0, 2))
    blanks = np.convolve(spread, np.ones(max(line.shape[0] // 4, 1)), "same")
    middle = start + int(blanks.argmin())
    return line[:, :middle], line[:, middle:]


def _lies_on_side(boxes: Any) -> bool:
    """Whether most of the text runs up or down; `boxes` is (N, 4, 2), clockwise from top left."""
    import numpy as np

    widths = np.linalg.norm(boxes[:, 0] - boxes[:, 1], axis=1)
    heights = np.linalg.norm(boxes[:, 0] - boxes[:, 3], axis=1)
    lengths = np.maximum(widths, heights)
    return float(lengths[heights > _TALL * widths].sum()) > _MOST_SIDEWAYS * float(lengths.sum())
