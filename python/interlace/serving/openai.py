"""The OpenAI face: a program asked through ``POST /v1/chat/completions``.

The last user message's content is the input: base64 of tensor bytes, or a JSON list of whole numbers (nested in the
program's input shape, or flat). The answer's content is the label, or a JSON list of numbers for a program without
labels. The payment travels in the body's member ``interlace`` (``extra_body`` of the official client), the receipt
comes back in the same place; ``usage`` counts units of work.

Invariant: the tensor that is hashed and run is the one that `tensor_of` makes of the content; nothing is rounded.
Source: OpenAI's chat completion object.
What it does not do: it streams nothing and takes no sampling parameters; a program's answer is one and the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from interlace.errors import InterlaceError, RecordError, ServiceError
from interlace.models import tensor
from interlace.records import codec
from interlace.serving.status import status_of
from interlace.serving.wire import Answer, Call, Offer, TensorType

_TYPES: Final = {402: "insufficient_quota", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}


def read(body: object, offer: Offer) -> Call:
    """Return the call that a chat request makes.

    Raises
    ------
    ServiceError
        ``service.model`` for another model, ``service.input`` for content that is no input, ``service.stream``.
    RecordError
        When the payment does not decode.
    """
    if not isinstance(body, Mapping):
        raise RecordError("record.bad-json", "the request is not a JSON object")
    names = (offer.name, codec.to_hex(offer.program_id))
    if body.get("model") not in names:
        raise ServiceError(
            "service.model", f"model {str(body.get('model'))[:80]!r} is not served here", hint=f"use {names[0]!r}"
        )
    if body.get("stream") not in (None, False):
        raise ServiceError("service.stream", "answers are not streamed", hint="leave out stream")
    if body.get("n") not in (None, 1):
        raise ServiceError("service.stream", "one request has one answer", hint="leave out n")
    if "interlace" not in body:
        raise RecordError("record.fields", "the request has no member interlace with the voucher")
    return Call.from_payment(body["interlace"], tensor_of(_content(body.get("messages")), offer.input_type))


def _content(messages: object) -> str:
    """Return the text of the last message whose role is ``user``."""
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        for message in reversed(messages):
            if isinstance(message, Mapping) and message.get("role") == "user":
                content = message.get("content")
                if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Mapping):
                    content = content[0].get("text")
                if isinstance(content, str):
                    return content
                break
    raise ServiceError("service.input", "the last user message has no text content")


def tensor_of(content: str, wanted: TensorType) -> bytes:
    """Return the tensor bytes of a message's content.

    Raises
    ------
    ServiceError
        ``service.input`` for anything but base64 or whole numbers of the wanted shape and range.
    """
    if not content.lstrip().startswith("["):
        try:
            return codec.from_base64(content.strip(), "content")
        except RecordError:
            raise ServiceError("service.input", "the content is neither a JSON list nor base64") from None
    try:
        values = codec.loads(content, "content", len(content))
    except RecordError as error:
        raise ServiceError("service.input", error.message) from None
    numbers: list[int] = []
    shape = _flatten(values, numbers)
    count = 1
    for dim in wanted.shape:
        count *= dim
    if shape not in (wanted.shape, (count,)):
        raise ServiceError(
            "service.input", f"the content has shape {list(shape)}, not {list(wanted.shape)} or [{count}]"
        )
    return pack(numbers, wanted)


def pack(numbers: Sequence[int], wanted: TensorType) -> bytes:
    """Return the tensor bytes of whole numbers that are in range."""
    info = np.iinfo(np.int8 if wanted.dtype == "i8" else np.int32)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not info.min <= number <= info.max:
            shown = str(number)[:40]
            raise ServiceError("service.input", f"{shown} is not a whole number from {info.min} to {info.max}")
    return tensor.encode(np.array(numbers, dtype=info.dtype).reshape(wanted.shape))


def _flatten(value: object, into: list[int]) -> tuple[int, ...]:
    """Append the numbers of nested lists to `into` and return their shape; a ragged list has shape (-1,)."""
    if not isinstance(value, list):
        into.append(value)  # type: ignore[arg-type]  # `pack` refuses what is no whole number
        return ()
    shapes = {_flatten(item, into) for item in value}
    return (len(value), *shapes.pop()) if len(shapes) == 1 else (-1,)


def text_of(output: bytes, labels: Sequence[str]) -> str:
    """Return what an output means: the label it selects, or its numbers as a JSON list."""
    numbers: list[int] = tensor.decode(output).ravel().tolist()
    if labels and numbers:
        index = numbers[0] if len(numbers) == 1 else numbers.index(max(numbers))
        if 0 <= index < len(labels):
            return labels[index]
    return json.dumps(numbers)


def write(answer: Answer, offer: Offer) -> dict[str, object]:
    """Return the chat completion object of an answer."""
    units = answer.receipt.units
    message = {"role": "assistant", "content": text_of(answer.output, offer.labels), "refusal": None}
    return {
        "id": f"chatcmpl-{answer.receipt.voucher_hash.hex()}",
        "object": "chat.completion",
        "created": answer.receipt.served_at,
        "model": offer.name,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": units, "completion_tokens": 0, "total_tokens": units},
        "interlace": answer.to_json(),
    }


def models(offer: Offer) -> dict[str, object]:
    """Return the list of models."""
    model = {
        "id": offer.name,
        "object": "model",
        "created": 0,
        "owned_by": offer.node.lower(),
        "interlace": offer.to_json(),
    }
    return {"object": "list", "data": [model]}


def error_json(error: InterlaceError) -> dict[str, object]:
    """Return an error in OpenAI's shape; `code` is ours."""
    kind = _TYPES.get(status_of(error.code), "invalid_request_error")
    message = f"{error.message} ({error.hint})" if error.hint else error.message
    return {"error": {"message": message, "type": kind, "param": None, "code": error.code}}
