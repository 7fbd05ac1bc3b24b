"""Two small networks for images of digits, trained here and written as ONNX: a CNN and a transformer.

The gradients are autograd's, the optimiser is Adam (Kingma and Ba, 2015). `run_tract` runs what was written in Sonos's
tract, which shares no code with anything here.

Invariant: seed and data decide the weights, up to how the machine's linear algebra rounds.
What it does not do: it searches for no good architecture; the networks are small enough to train in seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad
from autograd.scipy.special import erf
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_limits

OPSET = 20
WIDTH, HEADS, HIDDEN = 32, 4, 64
EPSILON = 1e-5

Weights = dict[str, Any]


# ---- training ------------------------------------------------------------------------------------


def fit(
    scores: Callable[[Weights, Any], Any],
    weights: Weights,
    inputs: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    rate: float = 3e-3,
    batch: int = 32,
) -> Weights:
    """Return weights after Adam on the cross-entropy of `scores`; the rate falls to zero as a half cosine."""

    def loss(weights: Weights, x: np.ndarray, y: np.ndarray) -> Any:  # noqa: ANN401 - autograd's box
        z = scores(weights, x)
        z = z - anp.max(z, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(z), axis=1)) - z[anp.arange(len(y)), y])

    gradient = grad(loss)
    rng = np.random.default_rng(0)
    first = {name: np.zeros_like(array) for name, array in weights.items()}
    second = {name: np.zeros_like(array) for name, array in weights.items()}
    batches = [rows for _ in range(epochs) for rows in shuffled(rng, len(inputs), batch)]
    # Products this small are slower on several threads, and their sums might be rounded otherwise.
    with threadpool_limits(1):
        for step, rows in enumerate(batches):
            slopes = gradient(weights, inputs[rows], labels[rows])
            now = rate * 0.5 * (1 + np.cos(np.pi * step / len(batches)))
            for name, slope in slopes.items():
                first[name] = 0.9 * first[name] + 0.1 * slope
                second[name] = 0.999 * second[name] + 0.001 * slope**2
                mean, spread = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
                weights[name] = weights[name] - now * mean / (np.sqrt(spread) + 1e-8)
    return weights


def shuffled(rng: np.random.Generator, count: int, batch: int) -> Iterator[np.ndarray]:
    """Yield all rows once in random order, a batch at a time."""
    order = rng.permutation(count)
    return (order[at : at + batch] for at in range(0, count, batch))


def random_weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return normal numbers whose products with a vector keep its size."""
    return rng.standard_normal(shape) * np.sqrt(1 / np.prod(shape[:-1]))


# ---- the CNN: 3x3 convolution, ReLU, again, 2x2 pool, linear -------------------------------------


def cnn_weights(rng: np.random.Generator) -> Weights:
    """Return what the CNN starts from, kernels ``[kh, kw, channels, outputs]``."""
    return {
        "k1": random_weights(rng, 3, 3, 1, 8) * np.sqrt(2),
        "c1": np.zeros(8),
        "k2": random_weights(rng, 3, 3, 8, 16) * np.sqrt(2),
        "c2": np.zeros(16),
        "w": random_weights(rng, 256, 10),
        "b": np.zeros(10),
    }


def cnn_scores(weights: Weights, images: Any) -> Any:  # noqa: ANN401 - arrays or autograd's boxes
    """Return the scores of images ``[n, 1, 8, 8]``."""
    x = anp.transpose(images, (0, 2, 3, 1))
    for kernel, bias in (("k1", "c1"), ("k2", "c2")):
        padded = anp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="constant")
        windows = anp.concatenate([padded[:, r : r + 8, q : q + 8] for r in range(3) for q in range(3)], axis=-1)
        shape = weights[kernel].shape
        x = anp.maximum(anp.dot(windows, anp.reshape(weights[kernel], (-1, shape[-1]))) + weights[bias], 0)
    pooled = anp.max(anp.reshape(x, (-1, 4, 2, 4, 2, 16)), axis=(2, 4))
    flat = anp.reshape(anp.transpose(pooled, (0, 3, 1, 2)), (-1, 256))
    return anp.dot(flat, weights["w"]) + weights["b"]


def train_cnn(images: np.ndarray, labels: np.ndarray, epochs: int = 10) -> tuple[ModelProto, tuple[int, ...]]:
    """Train the CNN on images ``[n, 8, 8]``; return it as ONNX, and the shape in which it takes one of them."""
    start = cnn_weights(np.random.default_rng(0))
    return cnn_model(fit(cnn_scores, start, images[:, None], labels, epochs)), (1, 8, 8)


def cnn_model(weights: Weights) -> ModelProto:
    """Return the CNN as ONNX, from images ``[batch, 1, 8, 8]`` to ten scores."""
    node = helper.make_node
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "k1", "c1"], ["v1"], **same),
        node("Relu", ["v1"], ["r1"]),
        node("Conv", ["r1", "k2", "c2"], ["v2"], **same),
        node("Relu", ["v2"], ["r2"]),
        node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w", "b"], ["y"]),
    ]
    kernels = {name: weights[name].transpose(3, 2, 0, 1) for name in ("k1", "k2")}
    return model(nodes, weights | kernels, [1, 8, 8])


# ---- the transformer: rows of pixels as tokens, blocks of attention and GELU ---------------------


def transformer_weights(rng: np.random.Generator, blocks: int) -> Weights:
    """Return what the transformer starts from."""
    weights: Weights = {"embed": random_weights(rng, 8, WIDTH), "embed_b": np.zeros(WIDTH)}
    weights["positions"] = 0.1 * rng.standard_normal((8, WIDTH))
    shapes = {"qkv": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH), "up": (WIDTH, HIDDEN), "down": (HIDDEN, WIDTH)}
    for block in range(blocks):
        for name, shape in shapes.items():
            weights[f"{name}{block}"] = random_weights(rng, *shape)
            weights[f"{name}{block}_b"] = np.zeros(shape[1])
    for norm in [f"{place}{block}" for block in range(blocks) for place in ("before", "between")] + ["after"]:
        weights |= {f"{norm}_g": np.ones(WIDTH), f"{norm}_b": np.zeros(WIDTH)}
    return weights | {"head": random_weights(rng, WIDTH, 10), "head_b": np.zeros(10)}


def transformer_scores(weights: Weights, rows: Any) -> Any:  # noqa: ANN401 - arrays or autograd's boxes
    """Return the scores of images as eight rows of eight pixels ``[n, 8, 8]``."""

    def linear(x: Any, name: str) -> Any:  # noqa: ANN401
        return anp.dot(x, weights[name]) + weights[f"{name}_b"]

    def norm(x: Any, name: str) -> Any:  # noqa: ANN401
        deviation = x - anp.mean(x, axis=-1, keepdims=True)
        spread = anp.sqrt(anp.mean(deviation**2, axis=-1, keepdims=True) + EPSILON)
        return deviation / spread * weights[f"{name}_g"] + weights[f"{name}_b"]

    def heads(x: Any) -> Any:  # noqa: ANN401
        return anp.transpose(anp.reshape(x, (-1, 8, HEADS, WIDTH // HEADS)), (0, 2, 1, 3))

    x = linear(rows, "embed") + weights["positions"]
    for block in range(sum(name.startswith("qkv") for name in weights) // 2):
        qkv = linear(norm(x, f"before{block}"), f"qkv{block}")
        q, k, v = (heads(qkv[..., part * WIDTH : (part + 1) * WIDTH]) for part in range(3))
        z = anp.matmul(q, anp.transpose(k, (0, 1, 3, 2))) / np.sqrt(WIDTH // HEADS)
        e = anp.exp(z - anp.max(z, axis=-1, keepdims=True))
        seen = anp.matmul(e / anp.sum(e, axis=-1, keepdims=True), v)
        x = x + linear(anp.reshape(anp.transpose(seen, (0, 2, 1, 3)), (-1, 8, WIDTH)), f"out{block}")
        h = linear(norm(x, f"between{block}"), f"up{block}")
        x = x + linear(0.5 * h * (1 + erf(h / np.sqrt(2))), f"down{block}")
    return linear(anp.mean(norm(x, "after"), axis=1), "head")


def train_transformer(
    images: np.ndarray, labels: np.ndarray, epochs: int = 20, blocks: int = 2
) -> tuple[ModelProto, tuple[int, ...]]:
    """Train the transformer on images ``[n, 8, 8]``; return it as ONNX, and the shape in which it takes one of them."""
    start = transformer_weights(np.random.default_rng(0), blocks)
    return transformer_model(fit(transformer_scores, start, images, labels, epochs)), (8, 8)


def transformer_model(weights: Weights, *, causal: bool = False) -> ModelProto:
    """Return the transformer as ONNX, from rows ``[batch, 8, 8]`` to ten scores; `causal` masks what comes later."""
    node = helper.make_node
    constants = {
        "heads": np.array([0, 0, HEADS, -1]),
        "joined": np.array([0, 0, WIDTH]),
        "thirds": np.array([WIDTH] * 3),
        "tokens": np.array([1]),
        "shrink": np.array(1 / np.sqrt(WIDTH // HEADS)),
        "mask": np.where(np.tri(8, dtype=bool), 0.0, -np.inf),
    }

    def linear(x: str, name: str, y: str) -> list[NodeProto]:
        return [node("MatMul", [x, name], [f"{y}_m"]), node("Add", [f"{y}_m", f"{name}_b"], [y])]

    def norm(x: str, name: str) -> NodeProto:
        return node("LayerNormalization", [x, f"{name}_g", f"{name}_b"], [name], axis=-1, epsilon=EPSILON)

    nodes = [*linear("x", "embed", "e"), node("Add", ["e", "positions"], ["x0"])]
    blocks = sum(name.startswith("qkv") for name in weights) // 2
    for b in range(blocks):
        nodes += [norm(f"x{b}", f"before{b}"), *linear(f"before{b}", f"qkv{b}", f"a{b}")]
        nodes += [node("Split", [f"a{b}", "thirds"], [f"{part}{b}" for part in "qkv"], axis=2)]
        for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            nodes += [
                node("Reshape", [f"{part}{b}", "heads"], [f"{part}{b}_s"]),
                node("Transpose", [f"{part}{b}_s"], [f"{part}{b}_t"], perm=order),
            ]
        nodes += [node("MatMul", [f"q{b}_t", f"k{b}_t"], [f"z{b}"]), node("Mul", [f"z{b}", "shrink"], [f"s{b}"])]
        nodes += [node("Add", [f"s{b}", "mask"], [f"h{b}"])] if causal else []
        nodes += [
            node("Softmax", [f"h{b}" if causal else f"s{b}"], [f"p{b}"], axis=-1),
            node("MatMul", [f"p{b}", f"v{b}_t"], [f"o{b}"]),
            node("Transpose", [f"o{b}"], [f"o{b}_t"], perm=[0, 2, 1, 3]),
            node("Reshape", [f"o{b}_t", "joined"], [f"j{b}"]),
            *linear(f"j{b}", f"out{b}", f"l{b}"),
            node("Add", [f"x{b}", f"l{b}"], [f"m{b}"]),
            norm(f"m{b}", f"between{b}"),
            *linear(f"between{b}", f"up{b}", f"u{b}"),
            node("Gelu", [f"u{b}"], [f"g{b}"]),
            *linear(f"g{b}", f"down{b}", f"d{b}"),
            node("Add", [f"m{b}", f"d{b}"], [f"x{b + 1}"]),
        ]
    nodes += [norm(f"x{blocks}", "after"), node("ReduceMean", ["after", "tokens"], ["mean"], keepdims=0)]
    nodes += [node("Gemm", ["mean", "head", "head_b"], ["y"])]
    return model(nodes, weights | constants, [8, 8])


# ---- ONNX and tract ------------------------------------------------------------------------------


def model(nodes: list[NodeProto], constants: Weights, shape: list[int]) -> ModelProto:
    """Return a model from ``x``, a batch of `shape`, to ten scores ``y``, with what of the constants it reads."""
    used = {name for item in nodes for name in item.input}
    stored = {name: array for name, array in constants.items() if name in used}
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [
            numpy_helper.from_array(array if array.dtype == np.int64 else array.astype(np.float32), name)
            for name, array in stored.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def run_tract(proto: ModelProto, inputs: np.ndarray) -> np.ndarray:
    """Return what tract computes for a batch in 32-bit floats; it reads models only from files."""
    import tract

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        runnable = tract.onnx().load(path).into_model().into_runnable()
    return np.asarray(runnable.run([np.ascontiguousarray(inputs, dtype=np.float32)])[0].to_numpy())
