"""The sentence-transformers folder format, read and written without that library.

A model folder lists its stages in `modules.json`; the first is the encoder (a `Transformer` or a
`StaticEmbedding`), then come `Pooling` and `Normalize`. A plain Hugging Face folder has no such file
and means a `Transformer` with mean pooling. Names are written in the spelling that every version of
sentence-transformers since 2.0 reads.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from llmagentos.errors import ModelError

Pooling = Literal["mean", "cls", "lasttoken"]
_Content = TypeVar("_Content", dict[str, Any], list[Any])

_POOLING_KEYS: dict[Pooling, str] = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "lasttoken": "pooling_mode_lasttoken",
}
_UNSUPPORTED_POOLING_KEYS = (
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderModules:
    """What a model folder says about its encoder.

    Attributes:
        is_static: The encoder is a `StaticEmbedding`, otherwise a `Transformer`.
        encoder_folder: Where its weights are.
        pooling: How token vectors become one.
        max_seq_length: Longest input in tokens with the special ones, where the folder says so.
        do_lower_case: The text is put in lower case before the tokenizer.
    """

    is_static: bool
    encoder_folder: Path
    pooling: Pooling = "mean"
    max_seq_length: int | None = None
    do_lower_case: bool = False


def read_modules(folder: Path) -> FolderModules:
    """The stages of a model folder, sentence-transformers' or plain Hugging Face.

    Args:
        folder: Existing model folder.

    Returns:
        The encoder's kind, place, pooling and limits.

    Raises:
        ModelError: A stage, a pooling or a default prompt that would change the vectors and is not
            supported here, or a file that is damaged.
    """
    if not (folder / "modules.json").exists():
        return FolderModules(is_static=False, encoder_folder=folder)
    _refuse_default_prompt(folder / "config_sentence_transformers.json")
    modules = _read_stages(folder)
    kinds = [kind for kind, _ in modules]
    if kinds[:1] == ["StaticEmbedding"] and set(kinds[1:]) <= {"Normalize"}:
        return FolderModules(is_static=True, encoder_folder=modules[0][1])
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= {"Normalize"}:
        raise ModelError(
            f"{folder} is made of {' + '.join(kinds) or 'nothing'}, which cannot be loaded; Transformer + "
            "Pooling and StaticEmbedding, each with or without Normalize, can: use such a model, or the "
            "backbone alone"
        )
    settings_file = modules[0][1] / "sentence_bert_config.json"
    settings: dict[str, Any] = read_json(settings_file, dict) if settings_file.exists() else {}
    longest = settings.get("max_seq_length")
    if longest is not None and not (isinstance(longest, int) and longest > 0):
        raise ModelError(
            f"max_seq_length in {settings_file} must be a number of tokens from 1 or null, got {longest!r}; "
            "correct it or fetch the model again"
        )
    return FolderModules(
        is_static=False,
        encoder_folder=modules[0][1],
        pooling=_read_pooling(modules[1][1] / "config.json"),
        max_seq_length=longest,
        do_lower_case=bool(settings.get("do_lower_case", False)),
    )


def write_modules(
    folder: Path,
    *,
    dimension: int,
    pooling: Pooling | None = None,
    max_seq_length: int | None = None,
) -> None:
    """Write the files that turn encoder weights in `folder` into a sentence-transformers model.

    Args:
        folder: Holds the weights and the tokenizer already.
        dimension: Length of the vectors.
        pooling: Of a `Transformer`; None for a `StaticEmbedding`.
        max_seq_length: Longest input in tokens with the special ones; None = any length.
    """
    kinds = ["StaticEmbedding", "Normalize"] if pooling is None else ["Transformer", "Pooling", "Normalize"]
    modules: list[dict[str, Any]] = []
    for index, kind in enumerate(kinds):
        path = f"{index}_{kind}" if index else ""
        (folder / path).mkdir(exist_ok=True)
        modules.append(
            {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
    write_json(folder / "modules.json", modules)
    write_json(folder / modules[-1]["path"] / "config.json", {})
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    if pooling is not None:
        modes = {key: mode == pooling for mode, key in _POOLING_KEYS.items()}
        modes |= dict.fromkeys(_UNSUPPORTED_POOLING_KEYS, False)
        write_json(
            folder / "1_Pooling" / "config.json",
            {"word_embedding_dimension": dimension} | modes | {"include_prompt": True},
        )
        settings: dict[str, Any] = {"do_lower_case": False}
        if max_seq_length is not None:
            settings |= {"max_seq_length": max_seq_length}
        write_json(folder / "sentence_bert_config.json", settings)


def refuse_pickles(folder: Path) -> None:
    """Raise if the weights in `folder` are not safetensors.

    A pickle can run any code when it is opened, so none ever is.

    Args:
        folder: Where the weights should be.

    Raises:
        ModelError: No `.safetensors` file; says how to make one where there is a pickle.
    """
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(file.name for pattern in _PICKLES for file in folder.glob(pattern))
    if pickles:
        raise ModelError(
            f"{folder} holds its weights only as a pickle ({pickles[0]}), which can run any code and is "
            "never loaded; if you trust it, convert it once on a machine apart: "
            "transformers.AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER) writes model.safetensors"
        )
    raise ModelError(f"{folder} holds no model.safetensors; give a folder that a model was saved to")


def read_json(file: Path, kind: type[_Content]) -> _Content:
    """The content of a JSON file.

    Args:
        file: To read.
        kind: What it must hold, `dict` or `list`.

    Raises:
        ModelError: The file cannot be read, is no JSON or holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{file} cannot be read ({error}); the model folder is damaged, fetch it again"
        ) from error
    if not isinstance(content, kind):
        raise ModelError(
            f"{file} must hold a {kind.__name__}, got a {type(content).__name__}; the model folder is "
            "damaged, fetch it again"
        )
    return content


def write_json(file: Path, content: Any) -> None:
    """Write `content` as readable JSON."""
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _refuse_default_prompt(file: Path) -> None:
    name = read_json(file, dict).get("default_prompt_name") if file.exists() else None
    if name:
        raise ModelError(
            f"{file} puts the prompt {name!r} before every text, which is not supported: the vectors would "
            "not be sentence-transformers'; set default_prompt_name to null, and put the prompt before the "
            "texts yourself"
        )


def _read_stages(folder: Path) -> list[tuple[str, Path]]:
    """Kind and folder of each stage in modules.json."""
    file = folder / "modules.json"
    stages: list[tuple[str, Path]] = []
    for module in cast(list[object], read_json(file, list)):
        match module:
            case {"type": str(kind), "path": str(path)}:
                stages.append((kind.rsplit(".", 1)[-1], folder / path))
            case _:
                raise ModelError(
                    f"each stage in {file} must have a type and a path, got {json.dumps(module)}; the model "
                    "folder is damaged, fetch it again"
                )
    return stages


def _read_pooling(file: Path) -> Pooling:
    config: dict[str, Any] = read_json(file, dict)
    mode = config.get("pooling_mode")
    if mode is None:
        modes: list[str] = [name for name, key in _POOLING_KEYS.items() if config.get(key)]
        modes += [key.removeprefix("pooling_mode_") for key in _UNSUPPORTED_POOLING_KEYS if config.get(key)]
        modes = modes or ["mean"]
    else:
        modes = [str(name) for name in mode] if isinstance(mode, list) else [str(mode)]
    if len(modes) != 1 or modes[0] not in get_args(Pooling):
        raise ModelError(
            f"pooling must be one of {', '.join(get_args(Pooling))}, got {' + '.join(modes)} in {file}; "
            "use another model, or its backbone alone, which is pooled by the mean"
        )
    return cast(Pooling, modes[0])
