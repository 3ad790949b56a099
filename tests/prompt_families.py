"""Small real tokenizers with the control tokens and the chat templates of the families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CORPUS = [
    "The committee met 14 times in 1999, and the document says so on page 42.",
    "system user assistant document question answer INST SYS eot_id start header end im",
    "<|im_start|>system [INST] </s> <|eot_id|> <|end|> USER: ASSISTANT: ### Response:",
] * 3


@dataclass(frozen=True)
class Family:
    """What of a family's tokenizer and template matters to the safety of prompts.

    Attributes:
        model_type: as the models' config.json has it.
        special: its control tokens.
        plain: tokens that it adds without marking them as special.
        template: its chat template, shortened.
        turns: what begins or ends a turn in it, each of which a text must not bring about.
    """

    model_type: str
    special: tuple[str, ...]
    template: str
    turns: tuple[str, ...]
    plain: tuple[str, ...] = ()


_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_HARMONY = (
    "{% for m in messages %}{{ '<|start|>' + m['role'] }}"
    "{% if m['role'] == 'assistant' %}{{ '<|channel|>final' }}{% endif %}"
    "{{ '<|message|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)
_INST = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system role') }}"
    "{% elif m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
_LLAMA2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set s = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ ' ' + m['content'] + ' ' + eos_token + bos_token }}"
    "{% else %}{{ '[INST] ' + (s if loop.first else '') + m['content'] + ' [/INST]' }}{% endif %}"
    "{% endfor %}"
)
_LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_MISTRAL_7 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ '[SYSTEM_PROMPT]' + m['content'] + '[/SYSTEM_PROMPT]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}"
    "{% else %}{{ '[INST]' + m['content'] + '[/INST]' }}{% endif %}{% endfor %}"
)
_NEMO = (  # the system's words go into the last user turn
    "{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set s = '' %}{% endif %}"
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ '[INST]' + (s if loop.last else '') + m['content'] + '[/INST]' }}{% endif %}"
    "{% endfor %}"
)
_PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_VICUNA = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + '\n' }}"
    "{% elif m['role'] == 'assistant' %}{{ 'ASSISTANT: ' + m['content'] + eos_token }}"
    "{% else %}{{ m['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
_ALPACA = (
    "{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '### Instruction:\n' + m['content'] + '\n\n' }}"
    "{% elif m['role'] == 'assistant' %}{{ '### Response:\n' + m['content'] + '\n\n' }}"
    "{% else %}{{ m['content'] + '\n\n' }}{% endif %}{% endfor %}{{ '### Response:\n' }}"
)
_DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '<｜User｜>' + m['content'] }}{% elif m['role'] == 'assistant' %}"
    "{{ '<｜Assistant｜>' + m['content'] + eos_token }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
_GRANITE = (
    "{% for m in messages %}"
    "{{ '<|start_of_role|>' + m['role'] + '<|end_of_role|>' + m['content'] + '<|end_of_text|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
)
_GLM = (
    "[gMASK]<sop>{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set s = messages[0]['content'] + '\n\n' %}{% set messages = messages[1:] %}"
    "{% else %}{% set s = '' %}{% endif %}{% for m in messages %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n'"
    " + (s if loop.first else '') + m['content'] + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

FAMILIES = {
    "llama-2": Family("llama", ("<s>", "</s>"), _LLAMA2, ("<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")),
    "llama-3": Family(
        "llama",
        ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
        _LLAMA3,
        ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    ),
    "zephyr": Family("llama", ("<s>", "</s>"), _ZEPHYR, ("</s>", "<|system|>", "<|user|>", "<|assistant|>")),
    "vicuna": Family("llama", ("<s>", "</s>"), _VICUNA, ("</s>", "USER:", "ASSISTANT:")),
    "alpaca": Family("llama", ("<s>", "</s>"), _ALPACA, ("</s>", "### Instruction:", "### Response:")),
    "mistral": Family("mistral", ("<s>", "</s>"), _INST, ("</s>", "[INST]", "[/INST]"), ("[INST]", "[/INST]")),
    "mistral-nemo": Family(
        "mistral", ("<s>", "</s>", "[INST]", "[/INST]"), _NEMO, ("</s>", "[INST]", "[/INST]")
    ),
    "mistral-7": Family(
        "ministral",
        ("<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CALLS]"),
        _MISTRAL_7,
        ("</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CALLS]"),
    ),
    "ministral-3": Family(
        "ministral3",
        ("<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]"),
        _MISTRAL_7,
        ("</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]"),
    ),
    "qwen-2": Family("qwen2", ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), _CHATML, ("<|im_start|>", "<|im_end|>")),
    "qwen-3": Family(
        "qwen3",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        _CHATML,
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>"),
        ("<think>", "</think>", "<tool_call>", "</tool_call>", "<|repo_name|>"),
    ),
    "qwen-3.5": Family(
        "qwen3_5_text",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        _CHATML,
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>"),
        ("<think>", "</think>", "<tool_call>", "</tool_call>", "<|repo_name|>"),
    ),
    "qwen-3.5-moe": Family(
        "qwen3_5_moe_text",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        _CHATML,
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>"),
        ("<think>", "</think>", "<tool_call>", "</tool_call>", "<|repo_name|>"),
    ),
    "qwen-3-next": Family(
        "qwen3_next",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        _CHATML,
        ("<|im_start|>", "<|im_end|>", "<tool_call>"),
        ("<tool_call>", "</tool_call>", "<|repo_name|>"),
    ),
    "lfm-2": Family("lfm2", ("<|startoftext|>", "<|im_start|>", "<|im_end|>"), _CHATML, ("<|im_start|>", "<|im_end|>")),
    "deepseek": Family(
        "qwen2",
        ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
        _DEEPSEEK,
        ("<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"),
        ("<think>", "</think>"),
    ),
    "gpt-oss": Family(
        "gpt_oss",
        ("<|startoftext|>", "<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"),
        _HARMONY,
        ("<|start|>", "<|message|>", "<|end|>", "<|channel|>"),
    ),
    "phi-3": Family(
        "phi3",
        ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        _PHI3,
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        ("</s>",),
    ),
    "qwen-3-moe": Family(
        "qwen3_moe",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        _CHATML,
        ("<|im_start|>", "<|im_end|>", "<tool_call>"),
        ("<tool_call>", "</tool_call>"),
    ),
    "smollm-3": Family(
        "smollm3",
        ("<|im_start|>", "<|im_end|>"),
        _CHATML,
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
        ("<think>", "</think>"),
    ),
    "glm-4": Family(
        "glm4",
        ("[gMASK]", "<|endoftext|>", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
        _GLM,
        ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    ),
    "gemma-3": Family(
        "gemma3_text",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        _GEMMA,
        ("<eos>", "<start_of_turn>", "<end_of_turn>"),
    ),
    "olmo-3": Family("olmo3", ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), _CHATML, ("<|im_start|>", "<|im_end|>")),
    "granite": Family(
        "granite",
        ("<|unk|>", "<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
        _GRANITE,
        ("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
    ),
}  # fmt: skip


def make_tokenizer(family: Family, *, normalizer: Any = None) -> Any:
    """A byte-level BPE tokenizer of a few hundred tokens, with the family's own added."""
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        tokenizers.trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=list(family.special),
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    # as the families' own files have them: found in any text, and some also after normalizing
    backend.add_tokens(
        [tokenizers.AddedToken(token, special=False, normalized=True) for token in family.plain]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=family.special[0],
        eos_token=family.special[1],
        chat_template=family.template,
        clean_up_tokenization_spaces=False,
    )
