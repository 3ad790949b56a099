"""Questions on documents, those that ship and a user's own, and a user's own texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from measuring import load_tokenizer

from fastkv_cli.config import Suite
from fastkv_cli.errors import DocumentError, UsageError
from fastkv_cli.evaluation.quality.qa import read_pairs
from fastkv_cli.evaluation.quality.questions import Question
from fastkv_cli.evaluation.quality.scoring import contains
from fastkv_cli.evaluation.quality.suites import Questionnaire, load_haystack, shipped
from fastkv_cli.tasks.corpus import Corpus


@pytest.fixture(scope="module")
def tokenizer(tiny_models: dict[str, Path]) -> Any:
    return load_tokenizer(tiny_models["llama"])


def text_of(question: Question, tokenizer: Any) -> str:
    return str(tokenizer.decode(list(question.document_ids)))


class TestShippedPairs:
    """The questions on documents that come with the package."""

    def test_the_evidence_is_there_once_and_holds_the_answer(self) -> None:
        pairs = read_pairs(shipped("qa.jsonl"))
        assert len(pairs) > 150
        texts = {pair.doc: shipped(pair.doc).read_text(encoding="utf-8") for pair in pairs}
        for pair in pairs:
            assert texts[pair.doc].count(pair.evidence) == 1, pair
            assert contains(pair.evidence, [pair.answer]) == 1, pair
            assert pair.question.endswith("?")
        assert len({pair.question for pair in pairs}) == len(pairs)

    @pytest.mark.parametrize("length", [600, 1900])
    def test_the_stretch_holds_the_whole_evidence(self, tokenizer: Any, length: int) -> None:
        pairs = {pair.question: pair for pair in read_pairs(shipped("qa.jsonl"))}
        asked = Questionnaire((Suite.QA,), (length,), len(pairs), 3).questions(tokenizer)
        assert {question.text for question in asked} == set(pairs)
        for question in asked:
            pair, text = pairs[question.text], text_of(question, tokenizer)
            assert contains(text, [pair.evidence]) == 1, pair
            assert contains(text, question.answers) == 1
            before = tokenizer(text.partition(pair.evidence)[0])["input_ids"]
            at = len(before) / len(question.document_ids)
            assert at == pytest.approx(question.depth, abs=0.03)

    def test_no_pair_twice_while_others_are_left(self, tokenizer: Any) -> None:
        asked = Questionnaire((Suite.QA,), (600, 700, 800), 40, 3).questions(tokenizer)
        assert len({question.text for question in asked}) == 120


class TestOwnPairs:
    """A user's file of questions, on the user's documents."""

    def draw(self, folder: Path, lines: list[str], tokenizer: Any) -> list[Question]:
        (folder / "a.txt").write_text("It met 14 times. " * 30 + "The chair was Ada.")
        (folder / "own.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return Questionnaire((Suite.QA,), (600,), 3, 0, qa=folder / "own.jsonl").questions(
            tokenizer
        )

    def pair(self, **changes: object) -> str:
        pair = {"doc": "a.txt", "question": "Who was the chair?", "answer": "Ada"}
        return json.dumps(pair | changes, ensure_ascii=False)

    def test_they_are_asked(self, tmp_path: Path, tokenizer: Any) -> None:
        (question,) = self.draw(tmp_path, [self.pair(), "", ""], tokenizer)
        assert (question.text, question.answers) == ("Who was the chair?", ("Ada",))
        assert "The chair was Ada." in text_of(question, tokenizer)

    def test_documents_may_lie_with_the_texts(self, tmp_path: Path, tokenizer: Any) -> None:
        (tmp_path / "texts").mkdir()
        (tmp_path / "texts" / "b.txt").write_text("The clerk was Bob. " * 40)
        (tmp_path / "own.jsonl").write_text(self.pair(doc="b.txt", answer="Bob"))
        asked = Questionnaire(
            (Suite.QA,), (300,), 1, 0, texts=tmp_path / "texts", qa=tmp_path / "own.jsonl"
        )
        (question,) = asked.questions(tokenizer)
        assert "clerk" in text_of(question, tokenizer)

    def test_any_character_may_stand_in_a_question(self, tmp_path: Path, tokenizer: Any) -> None:
        """JSON allows line separators inside a string."""
        (question,) = self.draw(tmp_path, [self.pair(question="Who\u2028was\u0085it?")], tokenizer)
        assert question.text == "Who\u2028was\u0085it?"

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"doc": "no.txt"}, r"no\.txt.* does not exist.*--texts"),
            ({"answer": "Eve"}, r"a\.txt does not hold 'Eve'.*Who was the chair"),
            ({"evidence": "The chair was Eve."}, r"a\.txt does not hold 'The chair was Eve\.'"),
            ({"answer": 14}, r"own\.jsonl, line 2"),
            ({"answer": ""}, r"own\.jsonl, line 2"),
            ({"answer": ["Ada"]}, r"own\.jsonl, line 2"),
            ({"doc": 3}, r"own\.jsonl, line 2"),
        ],
        ids=str,
    )
    def test_a_pair_that_cannot_be_asked(
        self, tmp_path: Path, tokenizer: Any, changes: dict[str, object], words: str
    ) -> None:
        with pytest.raises(DocumentError, match=words) as caught:
            self.draw(tmp_path, [self.pair(), self.pair(**changes)], tokenizer)
        assert caught.value.hint

    @pytest.mark.parametrize(
        "line", ["{", "null", "[]", "14", '"a"', '{"doc": "a.txt"}', '{"question": "Who?"}']
    )
    def test_a_broken_line_is_named(self, tmp_path: Path, tokenizer: Any, line: str) -> None:
        with pytest.raises(DocumentError, match=r"own\.jsonl, line 3, cannot be read"):
            self.draw(tmp_path, [self.pair(), "", line, self.pair()], tokenizer)

    def test_a_file_without_pairs(self, tmp_path: Path, tokenizer: Any) -> None:
        with pytest.raises(DocumentError, match=r"own\.jsonl"):
            self.draw(tmp_path, ["", ""], tokenizer)

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
    def test_a_file_that_cannot_be_read(
        self, tmp_path: Path, tokenizer: Any, content: bytes | None
    ) -> None:
        if content is not None:
            (tmp_path / "own.jsonl").write_bytes(content)
        with pytest.raises(DocumentError, match=r"own\.jsonl"):
            Questionnaire((Suite.QA,), (600,), 3, 0, qa=tmp_path / "own.jsonl").questions(tokenizer)


class TestHaystack:
    """The texts to hide things in."""

    def test_a_folder_of_one_s_own(self, tmp_path: Path, tokenizer: Any) -> None:
        (tmp_path / "a.txt").write_text("Of apples. " * 90)
        (tmp_path / "b.md").write_text("Of pears. " * 90)
        (tmp_path / "c.csv").write_text("Of plums. " * 90)
        haystack: Corpus = load_haystack(tmp_path, tokenizer)
        text = tokenizer.decode(haystack.token_ids)
        assert "apples" in text
        assert "pears" in text
        assert "plums" not in text
        asked = Questionnaire((Suite.NEEDLE,), (900,), 5, 0, texts=tmp_path).questions(tokenizer)
        assert all(re.search("apples|pears", text_of(each, tokenizer)) for each in asked)

    @pytest.mark.parametrize("make", ["empty", "missing", "file", "others"])
    def test_a_folder_without_texts(self, tmp_path: Path, tokenizer: Any, make: str) -> None:
        folder = tmp_path / "texts"
        if make == "file":
            folder.write_text("I am a file.")
        elif make != "missing":
            folder.mkdir()
        if make == "others":
            (folder / "a.csv").write_text("1,2")
        with pytest.raises(UsageError, match=r"holds no text.*give a folder"):
            load_haystack(folder, tokenizer)

    def test_an_empty_text_is_named(self, tmp_path: Path, tokenizer: Any) -> None:
        (tmp_path / "a.txt").write_text("")
        with pytest.raises(DocumentError, match=r"a\.txt is empty"):
            load_haystack(tmp_path, tokenizer)
