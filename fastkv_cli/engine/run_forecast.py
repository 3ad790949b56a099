"""Memory and time of a run, forecast from its prompts and a model without weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..config import DecodeWeights, KVDtype, PrefillWeights
from ..forecasts import MemoryForecast, PromptForecast, PromptUse, TimeForecast
from .int8_plans import load_plans
from .kernels.row_blocks import default_chunk_rows
from .kv_dtype import entry_dtype
from .layers import LayerRunner
from .machine_speed import MachineSpeed, cached_speed
from .memory_forecast import forecast_memory
from .methods import Full, Method, Plan, build_scoring_method
from .model.decoder import Decoder
from .model.hardware import describe_hardware
from .model.int8_decoder import SAMPLE, kept_bytes
from .model.int8_layer import Int8Layer
from .model.loader import LoadedModel
from .prefill_models import uses_int8
from .reuse.state import StateShape
from .reuse.state_identity import state_spec
from .reuse.states import Reuse
from .speed_probe import measure_speed
from .time_forecast import PlannedPrompt, answer_seconds, prefill_seconds, start_seconds
from .tuning import Tuning


@dataclass(frozen=True, slots=True)
class RunForecast:
    """The prompts of a run on a model without weights.

    Attributes:
        loaded: the model.
        decoder: a view over it.
        prompts: of the run, with the plans of their methods.
        decode_weights: the weights to decode from.
    """

    loaded: LoadedModel
    decoder: Decoder
    prompts: Sequence[PlannedPrompt]
    decode_weights: DecodeWeights
    kv_dtype: KVDtype = KVDtype.AUTO

    @property
    def last_plan(self) -> Plan:
        """The plan of the prompt that is answered, or scored last."""
        return self.prompts[-1].plan

    def memory(self, max_tokens: int) -> MemoryForecast:
        """The memory of the prompt that takes the most, with an answer of `max_tokens`."""
        forecasts = [self._memory_of(prompt, max_tokens) for prompt in _distinct(self.prompts)]
        return max(forecasts, key=lambda each: each.peak_bytes)

    @property
    def _entry_dtype(self) -> torch.dtype | None:
        """See `entry_dtype`; the model has no weights, so its decoder is on no device."""
        return entry_dtype(self.decoder.dtype, self.loaded.device, self.kv_dtype)

    def _memory_of(self, prompt: PlannedPrompt, max_tokens: int) -> MemoryForecast:
        forecast = forecast_memory(
            self.loaded,
            self.decoder,
            prompt.plan,
            prompt.num_tokens if prompt.is_scored else prompt.num_tokens + max_tokens,
            self.decode_weights,
            keeps_kv=not prompt.is_scored,
            kv_dtype=self._entry_dtype,
        )
        weights = self.decoder.num_weights - self.decoder.num_head_weights
        return replace(
            forecast,
            working_bytes=forecast.working_bytes
            + prompt.state_bytes
            + kept_bytes(weights) * prompt.is_int8,
        )

    def time(self, max_tokens: int) -> TimeForecast:
        """The seconds of all prompts, and of an answer of `max_tokens`.

        The speed of a CPU is measured, which takes a second, unless it is known already; that of
        other devices is not.
        """
        last = self.prompts[-1]
        output_tokens = 0 if last.is_scored else max_tokens
        tokens_found = sum(prompt.num_known for prompt in self.prompts)
        if self.loaded.device.type != "cpu":
            return TimeForecast(None, None, output_tokens, tokens_found)
        speed = self._speed(self.memory(max_tokens).copies_bytes)
        first_s = sum(prefill_seconds(self.decoder, prompt, speed) for prompt in self.prompts)
        first_s += start_seconds(self.decoder, self.prompts, speed)
        later_s = answer_seconds(self.decoder, last, speed, output_tokens)
        return TimeForecast(first_s, first_s + later_s, output_tokens, tokens_found)

    def _speed(self, copies_bytes: int) -> MachineSpeed:
        """The machine's speed with this model, whose packed copies have so many bytes, or none."""
        decoder, loaded = self.decoder, self.loaded
        uses_int8 = any(prompt.is_int8 for prompt in self.prompts)
        keeps_int8 = kept_bytes(decoder.num_weights - decoder.num_head_weights) > 0
        is_planned = uses_int8 and load_plans(loaded, decoder) is not None
        machine = describe_hardware(loaded.device)
        key = {
            "cpu": machine["cpu"],
            "threads": machine["threads"],
            "torch": torch.__version__,
            "dtype": loaded.dtype_name,
            "kernel": loaded.kernel,
            "model": str(loaded.stamp_files()),
            "int8": uses_int8,
            "planned": is_planned,
            "packed": copies_bytes > 0,
            "kv_dtype": self.kv_dtype,
        }
        return cached_speed(
            key,
            lambda: measure_speed(
                loaded.model,
                decoder,
                loaded.kernel,
                loaded.tokenizer(SAMPLE)["input_ids"] if uses_int8 else (),
                decodes_packed=copies_bytes > 0,
                weights_bytes=copies_bytes or decoder.num_active_weights * decoder.dtype.itemsize,
                keeps_int8=keeps_int8,
                is_planned=is_planned,
                kv_dtype=self._entry_dtype,
            ),
        )


def plan_prompts(
    loaded: LoadedModel,
    decoder: Decoder,
    prompts: Sequence[PromptForecast],
    method: Method,
    tuning: Tuning,
    reuse: Reuse | None,
    prefill_weights: PrefillWeights,
) -> list[PlannedPrompt]:
    """Plan the prompts of a run, and look for stored prefix states of their texts.

    Args:
        loaded: the model.
        decoder: a view over it.
        prompts: of the run.
        method: of prompts that are answered.
        tuning: the model's.
        reuse: finds prefix states; None where there can be none.
        prefill_weights: the weights to prefill with.
    """
    planned = []
    for prompt in prompts:
        methods: dict[PromptUse, Method] = {
            PromptUse.SCORED: build_scoring_method(tuning, prompt.window or 1),
            PromptUse.EXCERPT: Full(),
            PromptUse.ANSWERED: method,
        }
        num_tokens, num_shared = prompt.num_tokens, len(prompt.shared_ids)
        plan = methods[prompt.use].plan(decoder.shape(num_tokens, prompt.question))
        runner = LayerRunner(
            loaded.kernel, default_chunk_rows(loaded.device.type), sparsity=plan.sparsity
        )
        plan = replace(plan, sparsity=runner.sparsity)
        is_int8 = uses_int8(loaded, decoder, prefill_weights, methods[prompt.use], num_tokens)
        is_scored = prompt.use is PromptUse.SCORED
        found = PlannedPrompt(num_tokens, plan, is_scored=is_scored, is_int8=is_int8)
        if reuse is not None and reuse.applies(plan, num_shared, num_tokens):
            state_bytes = _stored_bytes(loaded, decoder, prompt, reuse, runner, is_int8)
            found = replace(
                found,
                num_known=num_shared if state_bytes else 0,
                state_layer=reuse.layer,
                state_bytes=state_bytes,
            )
        planned.append(found)
    return planned


def _stored_bytes(
    loaded: LoadedModel,
    decoder: Decoder,
    prompt: PromptForecast,
    reuse: Reuse,
    runner: LayerRunner,
    is_int8: bool,
) -> int:
    """Bytes of the prefix state of a prompt's text, if it is stored; it is not read."""
    shape = StateShape.of(decoder, len(prompt.shared_ids), reuse.layer, int8=reuse.is_int8)
    rope = decoder.rope_variant(prompt.num_tokens)
    weights = Int8Layer.weights_format if is_int8 else ""
    spec = state_spec(loaded, runner, prompt.shared_ids, shape, reuse.documents, rope, weights)
    return shape.nbytes if reuse.states.holds(spec) else 0


def _distinct(prompts: Sequence[PlannedPrompt]) -> list[PlannedPrompt]:
    """The longest prompt that is scored, and those that are answered."""
    scored = [prompt for prompt in prompts if prompt.is_scored]
    answered = [prompt for prompt in prompts if not prompt.is_scored]
    return [*answered, *([max(scored, key=lambda each: each.num_tokens)] if scored else [])]
