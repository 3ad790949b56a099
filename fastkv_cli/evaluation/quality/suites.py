"""The suites by name, on the bundled texts or on the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...config import ReadOptions, Suite
from ...documents import load_documents
from ...errors import DocumentError, UsageError
from ...tasks.corpus import Corpus, join_documents
from .needle import needle_questions
from .qa import qa_questions, read_pairs
from .questions import Question
from .ruler import ruler_questions

# The haystack is a novel: nothing in it resembles the hidden sentences.
HAYSTACK = "time-machine.txt"
_SUFFIXES = (".txt", ".md", ".pdf")
Corpora = dict[tuple[Path, ...], Corpus]


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """The questions to ask.

    Attributes:
        suites: which suites.
        lengths: of prompts, in tokens.
        samples: questions for each suite and length.
        seed: the same seed gives the same questions.
        texts: a folder with haystacks, and with the documents of `qa`.
        qa: a file of question/answer pairs.
    """

    suites: tuple[Suite, ...]
    lengths: tuple[int, ...]
    samples: int
    seed: int
    texts: Path | None = None
    qa: Path | None = None

    def questions(self, tokenizer: Any, known: Corpora | None = None) -> list[Question]:
        """Build all questions, suite by suite, short prompts first.

        Args:
            tokenizer: of the model.
            known: texts that this tokenizer has tokenized, by their files; new ones are added.

        Raises:
            DocumentError: when a text cannot be read or does not contain an answer.
            UsageError: when a folder holds no text.
        """
        drawn: list[Question] = []
        known = {} if known is None else known
        for suite in dict.fromkeys(self.suites):
            draw = self._qa if suite is Suite.QA else partial(self._hidden, suite)
            drawn += draw(tokenizer, known)
        return drawn

    def _hidden(self, suite: Suite, tokenizer: Any, known: Corpora) -> list[Question]:
        draw = needle_questions if suite is Suite.NEEDLE else ruler_questions
        haystack = load_haystack(self.texts, tokenizer, known)
        return list(draw(haystack, self.lengths, self.samples, self.seed, tokenizer))

    def _qa(self, tokenizer: Any, known: Corpora) -> list[Question]:
        pairs = read_pairs(self.qa or shipped("qa.jsonl"))
        corpora = {
            doc: _corpus([self._document(doc)], tokenizer, known)
            for doc in dict.fromkeys(pair.doc for pair in pairs)
        }
        return list(qa_questions(pairs, corpora, self.lengths, self.samples, self.seed, tokenizer))

    def _document(self, name: str) -> Path:
        """The path of a document of the pairs: in the folder of texts, or beside the pairs."""
        if self.qa is None:
            return shipped(name)
        folders = [folder for folder in (self.texts, self.qa.parent) if folder is not None]
        for folder in folders:
            if (folder / name).is_file():
                return folder / name
        raise DocumentError(
            f"{self.qa} asks about {name}, which does not exist",
            "give the folder that holds it with --texts",
        )


def digest(questions: Sequence[Question]) -> str:
    """A hash of the questions with their texts and answers."""
    return hashlib.sha256(repr(questions).encode()).hexdigest()


def load_haystack(texts: Path | None, tokenizer: Any, known: Corpora | None = None) -> Corpus:
    """Join the texts of a folder; without a folder, load the bundled novel.

    Args:
        texts: the folder.
        tokenizer: of the model.
        known: as of `Questionnaire.questions`.

    Raises:
        UsageError: when the folder holds no text.
        DocumentError: when a text cannot be read.
    """
    known = {} if known is None else known
    if texts is None:
        return _corpus([shipped(HAYSTACK)], tokenizer, known)
    inside = sorted(texts.iterdir()) if texts.is_dir() else []
    found = [path for path in inside if path.suffix.lower() in _SUFFIXES]
    if not found:
        raise UsageError(f"{texts} holds no text", "give a folder of .txt, .md or .pdf files")
    return _corpus(found, tokenizer, known)


def shipped(name: str) -> Path:
    """The path of a text or table bundled with the package."""
    return Path(str(files("fastkv_cli.evaluation") / "data" / name))


def _corpus(paths: Sequence[Path], tokenizer: Any, known: Corpora) -> Corpus:
    key = tuple(paths)
    if key not in known:
        documents = load_documents([str(path) for path in paths], ReadOptions())
        known[key] = join_documents(documents, tokenizer)
    return known[key]
