"""A tokenizer of its tokenizer.json alone, without transformers, whose import takes 0.5 s."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .gguf import quiet
from .guarded import explained_panics

if TYPE_CHECKING:
    from tokenizers import AddedToken, Encoding, Tokenizer

_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
# Fields of tokenizer_config.json that change no token; with any other, transformers decides.
_WITHOUT_EFFECT = {
    "backend",
    "chat_template",
    "clean_up_tokenization_spaces",
    "is_local",
    "local_files_only",
    "model_max_length",
    "padding_side",
    "tokenizer_class",
    "truncation_side",
}
_OTHER_FILES = ("added_tokens.json", "special_tokens_map.json", "additional_chat_templates")


class Encoded:
    """The tokens of a text, as transformers gives them: by "input_ids" and "offset_mapping"."""

    def __init__(self, encoding: Encoding) -> None:
        """Wrap an encoding."""
        self._encoding = encoding

    def __getitem__(self, name: str) -> Any:
        """A list of ids, or of spans in characters."""
        return self._encoding.ids if name == "input_ids" else self._encoding.offsets

    def word_ids(self, batch_index: int = 0) -> list[int | None]:  # noqa: ARG002 (one text)
        """The word of each token."""
        return self._encoding.word_ids


class PlainTokenizer:
    """What fastkv uses of a transformers tokenizer, over the same backend.

    Whatever else the tokenizer of transformers has, as `apply_chat_template`, is looked up there:
    it is opened the first time that someone asks for it.

    Attributes:
        backend_tokenizer: the backend.
        special_tokens_map: the special tokens by their roles, as `eos_token`.
        chat_template: Jinja; None if there is none.
    """

    is_fast = True

    def __init__(
        self,
        backend: Tokenizer,
        special: Mapping[str, str],
        chat_template: str | None,
        folder: Path,
    ) -> None:
        """Wrap a backend of the tokenizer that a folder holds."""
        backend.no_truncation()
        backend.no_padding()
        self.backend_tokenizer = backend
        self.special_tokens_map = dict(special)
        self.chat_template = chat_template
        self._folder = folder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._whole, name)

    @cached_property
    def _whole(self) -> Any:
        """The tokenizer of transformers."""
        return _open_with_transformers(self._folder)

    def __call__(
        self,
        text: str,
        *,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        return_offsets_mapping: bool = False,  # noqa: ARG002 (they cost nothing)
        verbose: bool = True,  # noqa: ARG002 (it says nothing)
    ) -> Encoded:
        """Encode a text."""
        self.backend_tokenizer.encode_special_tokens = split_special_tokens
        return Encoded(self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def decode(self, token_ids: Sequence[int] | int, *, skip_special_tokens: bool = False) -> str:
        """Decode tokens."""
        ids = [token_ids] if isinstance(token_ids, int) else list(map(int, token_ids))
        return self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)

    @property
    def bos_token(self) -> str | None:
        """The token that begins a text."""
        return self.special_tokens_map.get("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        """The id of the token that ends a text."""
        return self._special_id("eos_token")

    @property
    def unk_token_id(self) -> int | None:
        """The id of the token of what has no other."""
        return self._special_id("unk_token")

    @cached_property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens that are found before a text is split into words, by id."""
        return self.backend_tokenizer.get_added_tokens_decoder()

    def get_added_vocab(self) -> dict[str, int]:
        """The ids of the same tokens."""
        return {token.content: number for number, token in self.added_tokens_decoder.items()}

    def _special_id(self, role: str) -> int | None:
        token = self.special_tokens_map.get(role)
        return None if token is None else self.backend_tokenizer.token_to_id(token)


def open_tokenizer(folder: Path, name: str, settings: Any | None) -> Any:
    """Open a model's tokenizer: of transformers, unless its tokenizer.json alone defines it.

    Args:
        folder: holds its files.
        name: the model's, for errors.
        settings: the model's of transformers; None where tokenizer.json defines the tokenizer.

    Raises:
        ModelError: when it cannot be opened.
    """
    with explained_panics(name):
        plain = open_plain_tokenizer(folder) if settings is None else None
        if plain is not None:
            return plain
        if settings is None:
            return _open_with_transformers(folder)
        with quiet():
            from transformers import AutoTokenizer  # imports a list of all models: 0.45 s

            return AutoTokenizer.from_pretrained(
                folder, config=settings, local_files_only=True, trust_remote_code=False
            )


def _open_with_transformers(folder: Path) -> Any:
    """Open a tokenizer that its tokenizer.json defines."""
    with quiet():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)


def open_plain_tokenizer(folder: Path) -> PlainTokenizer | None:
    """Open a folder's tokenizer; None where more than its tokenizer.json decides about tokens.

    Raises:
        Exception: when tokenizer.json cannot be read, of the type that the backend raises.
    """
    file, config = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not (file.is_file() and config.is_file()):
        return None
    stated = json.loads(config.read_text(encoding="utf-8"))
    special = {role: stated[role] for role in _SPECIAL if stated.get(role) is not None}
    if (
        stated.keys() - {*_SPECIAL, *_WITHOUT_EFFECT}
        or stated.get("clean_up_tokenization_spaces")
        or not all(isinstance(token, str) for token in special.values())
        or any((folder / name).exists() for name in _OTHER_FILES)
    ):
        return None
    from tokenizers import Tokenizer

    template = folder / "chat_template.jinja"
    chat_template = (
        template.read_text(encoding="utf-8") if template.is_file() else stated.get("chat_template")
    )
    opened = PlainTokenizer(Tokenizer.from_file(str(file)), special, chat_template, folder)
    found = {token.content for token in opened.added_tokens_decoder.values() if token.special}
    return opened if found.issuperset(special.values()) else None  # transformers adds the others
