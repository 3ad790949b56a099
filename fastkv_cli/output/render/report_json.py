"""A report as one JSON object for programs, in the schema `fastkv/1`. Pure: nothing is written."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...errors import FastKVError
from ...stats import Evidence, RunReport, StateStats
from ...weight_formats import DecodingWeights, PrefillFormat
from .to_json import to_json

SCHEMA = "fastkv/1"


def render_json(report: RunReport, *, indent: int | None = 2) -> str:
    """The report as one JSON object; without an indent, on one line."""
    return to_json(report_fields(report), indent=indent)


def render_failure(command: str, question: str, error: FastKVError) -> str:
    """A question that has no answer, as one JSON object on one line."""
    fields = {
        "schema": SCHEMA,
        "command": command,
        "question": question,
        "answer": None,
        "error": str(error),
        "exit_code": error.exit_code.value,
    }
    return to_json(fields, indent=None)


def report_fields(report: RunReport) -> dict[str, Any]:
    """The report for JSON; seconds, bytes and tokens as numbers, unknowns as null."""
    kv, stats, reading = report.kv, report.generation, report.reading
    return {
        "schema": SCHEMA,
        "command": report.command,
        "question": report.question or None,
        "answer": report.answer,
        "object": None if report.filled is None else report.filled.value,
        "fields": None if report.filled is None else list(map(asdict, report.filled.fields)),
        "model": {
            "name": report.model.name,
            "revision": report.model.revision,
            "dtype": report.model.dtype,
            "device": report.model.device,
            "attention": report.model.attention,
            "decode_weights": describe_weights(report.model.decode_weights),
            "prefill_weights": describe_format(report.model.prefill_weights),
        },
        "documents": [
            {
                "path": document.path,
                "kind": document.kind,
                "num_pages": document.num_pages,
                "pages": document.pages,
                "pages_empty": document.pages_empty,
                "pages_failed": document.pages_failed,
                "pages_left_out": document.pages_left_out,
                "characters": document.characters,
                "tokens": document.tokens,
            }
            for document in report.documents
        ],
        "reading": {
            "parts": reading.parts,
            "parts_resumed": reading.parts_resumed,
            "tokens_read": reading.tokens_read,
            "tokens_used": reading.tokens_used,
            "tokens_left_out": reading.tokens_left_out,
            "parts_s": _rounded(reading.parts_s),
            "looks": reading.looks,
            "state": None if reading.state is None else _state_fields(reading.state),
        },
        "stats": {
            "extract_s": _rounded(report.extract_s),
            "load_s": _rounded(report.load_s),
            "prefill_s": _rounded(report.prefill_s),
            "ttft_s": _rounded(report.ttft_s),
            "decode_tokens_per_s": _rounded(stats.decode_tokens_per_s),
            "tokens_per_pass": _rounded(stats.tokens_per_pass),
            "prompt_tokens": stats.prompt_tokens,
            "output_tokens": stats.output_tokens,
            "peak_memory_bytes": stats.peak_memory_bytes,
        },
        "kv": {
            "method": kv.method,
            "budget": kv.budget,
            "tsp_layer": kv.tsp_layer,
            "tsp_rate": kv.tsp_rate,
            "steps": [asdict(step) for step in kv.steps],
            "attention_ratio": None if kv.attention_ratio is None else round(kv.attention_ratio, 4),
            "full_bytes": kv.full_bytes,
            "kept_bytes": kv.kept_bytes,
            "dtype": kv.dtype,
            "kept_ratio": round(kv.kept_ratio, 4),
            "full_flops": kv.full_flops,
            "prefill_flops": kv.prefill_flops,
            "compute_ratio": round(kv.compute_ratio, 4),
            "settings": report.settings,
            "note": kv.note,
            "global_layers": kv.global_layers,
            "layers": [
                {"tokens_seen": layer.tokens_seen, "tokens_kept": layer.tokens_kept}
                for layer in kv.layers
            ],
        },
        "thinking": None if report.thinking is None else asdict(report.thinking),
        **evidence_fields(report.evidence),
        "warnings": list(report.warnings),
    }


def _state_fields(state: StateStats) -> dict[str, Any]:
    return {
        "mode": state.mode,
        "tokens_found": state.tokens_found,
        "bytes_found": state.bytes_found,
        "tokens_kept": state.tokens_kept,
        "bytes_kept": state.bytes_kept,
        "find_s": _rounded(state.find_s),
        "stage_one_s": _rounded(state.stage_one_s),
    }


def evidence_fields(evidence: Evidence) -> dict[str, Any]:
    """The fields of the JSON object."""
    missing = evidence.not_in_document
    return {
        "citations": [
            {
                "document": citation.document,
                "page": citation.page,
                "line": citation.line,
                "score": round(citation.score, 4),
                "snippet": citation.snippet,
            }
            for citation in evidence.citations
        ],
        "quotes": [{**asdict(quote), "score": round(quote.score, 4)} for quote in evidence.quotes],
        "not_in_document": None if missing is None else list(missing),
        "verdict": evidence.verdict,
        "found": evidence.found,
        "reason": evidence.reason,
        "guess": evidence.guess,
    }


def describe_weights(weights: DecodingWeights) -> str:
    """`4-bit weights, 8-bit head (115 MiB of copies)`, or the model's own format."""
    if weights.bits:
        bits = " and ".join(f"{width}-bit" for width in weights.bits)
        size = weights.copies_bytes / 2**20
        return f"{bits} weights, {weights.head_bits}-bit head ({size:.0f} MiB of copies)"
    return f"{weights.dtype} ({weights.problem})" if weights.problem else weights.dtype


def describe_format(used: PrefillFormat) -> str:
    """`int8 in 112 of 120 products (off by 2.9% at most), bfloat16`, or the model's own format."""
    if not used.int8_products:
        return used.dtype
    share = f"{used.int8_products} of {used.num_products} products"
    return f"int8 in {share} (off by {used.largest_error:.1%} at most), {used.dtype}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
