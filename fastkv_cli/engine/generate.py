"""`Engine`: prefill and decode in one timed call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..config import (
    GREEDY,
    MAX_DRAFT,
    Attention,
    DecodeWeights,
    DType,
    KVDtype,
    MethodSettings,
    PrefillWeights,
    Sampling,
    choice_of,
    parse_prompt_lookup,
)
from ..errors import UsageError
from ..models import ProgressCallback
from ..stats import KVStats
from .answer_stream import AnswerStream
from .closing_sampler import open_sampler
from .constraint import Grammar, Samplers, constrain, grammar_tokenizer
from .decode import check_finite
from .early_exit import quoted_generation, scoring_stats
from .generation import Generation, Piece
from .growing_answer import GrowingAnswer
from .kernels.attention import Kernel
from .kernels.packed import choose_decoding_model
from .kv_dtype import entry_dtype
from .measure import explained_out_of_memory, now, peak_memory_bytes, reset_peak_memory
from .methods import Method, build_method
from .model.decoder import Decoder
from .model.decoder_opening import open_decoder
from .model.loader import LoadedModel, load_model
from .model.mapped import MappedLayers
from .prefill import prefill, score_tokens
from .prefill_models import PrefillModels
from .prompt_ids import check_prompt
from .prompt_lookup import PromptLookup, pass_costs
from .question import last_question
from .reuse.states import Reuse
from .sampling import make_plain_sampler
from .timed_decode import decode_timed
from .trace import Progress, trace_tokens
from .tuning import Tuning, tuning_of

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from ..prompts.answer_form import AnswerForm


class Engine:
    """A loaded model that answers prompts with a compression method."""

    def __init__(
        self,
        loaded: LoadedModel,
        decode_weights: DecodeWeights = DecodeWeights.AUTO,
        prefill_weights: PrefillWeights = PrefillWeights.AUTO,
        max_draft: int | None = None,
        kv_dtype: KVDtype = KVDtype.AUTO,
    ) -> None:
        """Wrap a loaded model; prompt lookup drafts up to `max_draft` tokens (None: "auto")."""
        self.loaded = loaded
        self.kernel: Kernel = loaded.kernel
        self.decoder: Decoder = open_decoder(loaded.model)
        self.kv_dtype = entry_dtype(self.decoder.dtype, self.decoder.device, kv_dtype)
        started = time.perf_counter()
        mapped = MappedLayers.of(loaded)
        self.decoding_model, self.decode_weights = choose_decoding_model(
            self.decoder, decode_weights, mapped.release
        )
        # When decoding uses packed copies, only prefill needs a layer's own weights: each layer's
        # pages are released as soon as prefill has computed it.
        on_done = None if self.decoding_model is self.decoder else mapped.release
        self.prefill_models = PrefillModels(loaded, self.decoder, prefill_weights, on_done)
        if max_draft is None:
            max_draft = MAX_DRAFT if self.decoder.device.type == "cpu" else 0
        self._pass_costs = pass_costs(self.decode_weights)[: max_draft + 1]
        self.load_s = loaded.load_s + time.perf_counter() - started

    @classmethod
    def load(
        cls,
        model: str,
        *,
        dtype: DType | str = DType.AUTO,
        device: str = "auto",
        attention: Attention | str = Attention.AUTO,
        decode_weights: DecodeWeights | str = DecodeWeights.AUTO,
        prefill_weights: PrefillWeights | str = PrefillWeights.AUTO,
        prompt_lookup: str | int = "auto",
        kv_dtype: KVDtype | str = KVDtype.AUTO,
        offline: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> Engine:
        """Load a model.

        Args:
            model: `smollm2-135m`, a Hugging Face id, a folder, or a .gguf file.
            dtype: "auto", "bfloat16", "float16" or "float32".
            device: "auto", "cpu", "cuda", "cuda:N" or "mps".
            attention: "auto", "sdpa" or "flash".
            decode_weights: "packed" decodes on the CPU from copies of the weights in 4 and 8 bits;
                "full" decodes from the model's own weights; "auto" packs models in 16 bits where
                memory allows.
            prefill_weights: "bf16", "int8", or "auto": prompts that are compressed are prefilled
                with weights in 8 bits, on CPUs that gain by it.
            prompt_lookup: "off", or the most tokens that are drafted where the answer copies the
                prompt, to be verified in one pass; "auto" does so on a CPU.
            kv_dtype: of the KV cache: "bf16" or "int8" (CPU only), or "auto", the model's.
            offline: open no socket.
            on_progress: called during downloads, conversion and loading.

        Raises:
            ModelError: when the model cannot be loaded or its family is not supported.
            UsageError: when the device, dtype or attention is not available.
            OutOfMemoryError: when the weights do not fit.
        """
        weights = choice_of(DecodeWeights, decode_weights, "decode_weights")
        prefilling = choice_of(PrefillWeights, prefill_weights, "prefill_weights")
        kept = choice_of(KVDtype, kv_dtype, "kv_dtype")
        max_draft = parse_prompt_lookup(prompt_lookup)
        loaded = load_model(
            model,
            dtype=choice_of(DType, dtype, "dtype"),
            device=device,
            attention=choice_of(Attention, attention, "attention"),
            offline=offline,
            on_progress=on_progress,
            unpacked=weights is DecodeWeights.FULL,
        )
        return cls(loaded, weights, prefilling, max_draft, kept)

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self.loaded.tokenizer

    @cached_property
    def vocabulary(self) -> LLTokenizer:
        """The vocabulary, as grammars need it."""
        return grammar_tokenizer(self.loaded)

    @cached_property
    def tuning(self) -> Tuning:
        """What was measured of the model: its presets and head scores."""
        return tuning_of(self.loaded)

    def generate(
        self,
        prompt_ids: Sequence[int] | str,
        method: Method | None = None,
        max_new_tokens: int = 256,
        **settings: Any,
    ) -> Generation:
        """Answer a prompt and return the whole `Generation`; takes the arguments of `stream`.

        Peak memory is measured from the start of this call.
        """
        self.reset_peak_memory()
        *_, generation = self.stream(prompt_ids, method, max_new_tokens, **settings)
        if not isinstance(generation, Generation):
            raise TypeError("a stream ends with its generation")
        return generation

    def stream(
        self,
        prompt_ids: Sequence[int] | str,
        method: Method | None = None,
        max_new_tokens: int = 256,
        *,
        question: slice | None = None,
        sampling: Sampling = GREEDY,
        guard_loops: bool = False,
        ignore_eos: bool = False,
        chunk_rows: int | None = None,
        on_progress: Progress | None = None,
        until: Callable[[], bool] | None = None,
        shared: int = 0,
        reuse: Reuse | None = None,
        traces_tokens: bool = False,
        form: AnswerForm | None = None,
        grammar: Grammar | None = None,
    ) -> Iterator[Piece | Generation]:
        """Answer a prompt piece by piece; the last item is the `Generation`.

        Args:
            prompt_ids: token ids, or a text to be tokenized as it is.
            method: the compression method; None is what the command line takes: the calibrated
                preset `balanced`, and the question, where none is given, in the last user turn.
            max_new_tokens: the most tokens of the answer; the model's window may end it sooner.
            question: the rows of the prompt that hold the question, for methods that score tokens
                by the question's attention; by default the last rows.
            sampling: greedy by default.
            guard_loops: prevent the answer from repeating itself (see `LoopGuard`).
            ignore_eos: continue after an end token, as measurements of speed must; then no tokens
                are drafted, as what follows may be a loop.
            chunk_rows: prompt tokens that pass through a layer at once; the default depends on the
                device.
            on_progress: called with the share of the prefill that is done, 0 to 1.
            until: called after each token; the answer ends when it returns True.
            shared: number of leading tokens that other prompts about the same text share. Their
                results are identical to the last bit, whether computed now or reused.
            reuse: finds and keeps the prefix state of those tokens; None for texts that are not
                used again.
            traces_tokens: whether to find out, after the answer, what prefill made of each token.
            form: how the answer stands in what is generated; without one, all of it is the answer.
            grammar: what the answer may be; loops are then not guarded against.

        Raises:
            UsageError: when the prompt is empty or a setting is out of range.
            ContextError: when the prompt leaves no room in the model's window.
            ModelError: when the logits are NaN or infinite.
            OutOfMemoryError: when memory runs out.
        """
        ids = self._tensor(prompt_ids)
        if max_new_tokens < 1:
            raise UsageError(f"max_new_tokens {max_new_tokens} is out of range", "it is 1 or more")
        text = AnswerStream(self.tokenizer, form)
        room = self.decoder.max_context - ids.shape[0]
        limit = min(max_new_tokens, room)
        if method is None:
            method = build_method(MethodSettings(), self.tuning)
            question = question or last_question(self.tokenizer, ids.tolist())
        ends = frozenset[int]() if ignore_eos else self.loaded.eos_ids - text.mark_ids.keys()
        make_free = partial(make_plain_sampler, sampling, guards_loops=guard_loops)
        samplers: Samplers = (make_free, make_free)
        if grammar is not None:
            samplers = make_free, constrain(sampling, self.vocabulary, grammar)
        sampler, num_more = open_sampler(self.tokenizer, samplers, text, ends, room - limit)
        with explained_out_of_memory(ids.shape[0]):
            answer = GrowingAnswer(text, started_at=now(self.decoder.device))
            plan = method.plan(self.decoder.shape(ids.shape[0], question))
            # unexpected thinking is rare, and needs no room in advance: the cache grows
            is_expected = form is not None and form.thoughts and form.thoughts.is_expected
            most = limit + (num_more if is_expected else 0)
            models = self.prefill_models
            decoder = models.choose(method, ids.shape[0])
            with models.open_runner(decoder, ids, plan, shared, reuse, chunk_rows, most) as runner:
                run = partial(prefill, room=most, kv_dtype=self.kv_dtype, on_progress=on_progress)
                prefilled = run(decoder, ids, method, runner, plan)
            answer.prefilled_at = now(self.decoder.device)
            check_finite(prefilled.logits, self.loaded)
            lengths = prefilled.cache.lengths
            lookup = None
            if len(self._pass_costs) > 1 and prefilled.cache.can_drop and not ignore_eos:
                lookup = PromptLookup(ids.tolist(), limit + num_more, self._pass_costs)
            tokens = decode_timed(self.decoding_model, prefilled, sampler, lookup)
            yield from answer.grow(tokens, sampler, (limit, num_more), ends, until)
        yield Generation(
            token_ids=answer.token_ids,
            text=answer.text.text,
            cache_lengths=lengths,
            first_logits=prefilled.logits,
            token_scores=(
                None if prefilled.token_scores is None else prefilled.token_scores.tolist()
            ),
            finish_reason=answer.finish_reason,
            stats=answer.stats(ids.shape[0], peak_memory_bytes(self.decoder.device), lookup),
            kv=prefilled.kv_stats(self.decoder, method, ids.shape[0], lengths),
            trace=trace_tokens(prefilled, ids.shape[0]) if traces_tokens else None,
            thinking=text.thinking(),
        )

    def reset_peak_memory(self) -> None:
        """Measure peak memory from here on, where the system supports it."""
        reset_peak_memory(self.decoder.device)

    def score(
        self,
        prompt_ids: Sequence[int],
        method: Method,
        shared: int = 0,
        reuse: Reuse | None = None,
    ) -> list[float]:
        """Score each token before the observation window at the method's TSP layer.

        Computes the layers up to the TSP layer and stops there. For `shared` and `reuse` see
        `stream`.

        Raises:
            ContextError: when the prompt does not fit the model's window.
            OutOfMemoryError: when memory runs out.
        """
        ids = self._tensor(prompt_ids)
        plan = method.plan(self.decoder.shape(ids.shape[0]))
        with explained_out_of_memory(ids.shape[0]):
            decoder = self.prefill_models.choose(method, ids.shape[0])
            with self.prefill_models.open_runner(decoder, ids, plan, shared, reuse) as runner:
                found = score_tokens(decoder, ids, method, runner, plan)
        scores: list[float] = found.tolist()
        return scores

    def scoring_stats(self, method: Method, prompt_tokens: Sequence[int]) -> KVStats:
        """The KV statistics of prompts that were only scored; takes their lengths."""
        return scoring_stats(self.decoder, method, prompt_tokens)

    def quote(self, text: str, seconds: float, num_tokens: int, kv: KVStats) -> Generation:
        """An answer that is quoted from a text that was scored; see `quoted_generation`."""
        return quoted_generation(self.decoder, text, seconds, num_tokens, kv)

    def _tensor(self, prompt_ids: Sequence[int] | str) -> Tensor:
        ids = self.tokenizer(prompt_ids)["input_ids"] if isinstance(prompt_ids, str) else prompt_ids
        check_prompt(ids, self.loaded.model.config.vocab_size, self.decoder.max_context)
        return torch.tensor(ids, device=self.decoder.device)
