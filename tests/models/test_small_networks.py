"""A CNN and a transformer as whole networks: tract's scores, the integers' accuracy, the specification's bits.

They are trained here for a few seconds; `benches/model_accuracy.py` trains them longer.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benches import small_networks as networks
from interlace.chain import Chain
from interlace.chain.programs import INFER
from interlace.models import on_chain, quantise
from interlace.models.onnx_import import read_onnx
from spec import tensor as spec

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images / 16, DIGITS.target
HELD = 1_300
ROWS = IMAGES.reshape(-1, 8, 8)


def sharp_weights(seed: int, blocks: int = 2) -> dict[str, np.ndarray]:
    """Return random weights with gains and biases, whose attention prefers some tokens over others."""
    rng = np.random.default_rng(seed)
    weights = networks.transformer_weights(rng, blocks)
    for name, array in weights.items():
        if name.endswith(("_g", "_b")):
            weights[name] = array + 0.3 * rng.standard_normal(array.shape)
        if name.startswith("qkv") and array.ndim == 2:
            weights[name] = 2 * array
    return weights


@pytest.mark.parametrize("causal", [False, True])
def test_a_transformer_of_random_weights_follows_tract(causal: bool) -> None:
    proto = networks.transformer_model(sharp_weights(1), causal=causal)
    expected = networks.run_tract(proto, ROWS[:400])
    graph, layout = read_onnx(proto)
    assert layout == "flat"
    np.testing.assert_allclose(graph.outputs(ROWS[:400]), expected, atol=1e-4)
    quantised = quantise(proto, ROWS[400:700])
    scores = quantised.outputs(ROWS[:400])
    centred = expected - expected.mean(axis=0)
    assert (scores - expected).std() < 0.1 * centred.std()
    # Scores of random weights lie close together; where the first is ahead, the integers must agree.
    ranked = np.sort(expected, axis=1)
    ahead = ranked[:, -1] - ranked[:, -2] > 0.3 * centred.std()
    agree = scores.argmax(axis=1) == expected.argmax(axis=1)
    assert ahead.sum() > 100
    assert agree[ahead].all()
    assert agree.mean() > 0.9


def test_a_causal_transformer_is_another_one() -> None:
    weights = sharp_weights(2, blocks=1)
    plain, causal = (networks.transformer_model(weights, causal=causal) for causal in (False, True))
    assert np.abs(networks.run_tract(plain, ROWS[:5]) - networks.run_tract(causal, ROWS[:5])).max() > 0.1
    flags = [[node.causal for node in read_onnx(m)[0].nodes if hasattr(node, "causal")] for m in (plain, causal)]
    assert flags == [[False], [True]]


def test_the_specification_runs_the_transformer() -> None:
    quantised = quantise(networks.transformer_model(sharp_weights(3, blocks=1), causal=True), ROWS[:50])
    decoded = spec.decode(quantised.program.to_bytes())
    for one in quantised.prepare(ROWS[:2]):
        assert quantised.program.run(one).tolist() == spec.run(decoded, [int(value) for value in one.ravel()])


def test_a_transformer_decides_in_a_transaction() -> None:
    quantised = quantise(networks.transformer_model(sharp_weights(4)), ROWS[:50])
    program, values = quantised.program, quantised.prepare(ROWS[60:61])[0]
    with Chain(port=None) as chain:
        on_chain.register(chain.client, chain.accounts[0], program)
        answer = on_chain.infer(chain.client, program, values)
        assert np.array_equal(answer, program.run(values))
        data = program.id + on_chain.to_elements(program, values)
        receipt = chain.client.send(chain.accounts[0], INFER, data=data, gas_limit=100_000)
        assert receipt.status == 1
        assert receipt.gas_used > program.units // 16


@pytest.mark.parametrize(("kind", "floor"), [("cnn", 0.9), ("transformer", 0.9)])
def test_a_trained_network_keeps_its_accuracy(kind: str, floor: float) -> None:
    if kind == "cnn":
        proto, shape = networks.train_cnn(IMAGES[:HELD], LABELS[:HELD], epochs=4)
    else:
        proto, shape = networks.train_transformer(IMAGES[:HELD], LABELS[:HELD], epochs=12, blocks=1)
    inputs, truth = IMAGES.reshape(-1, *shape), LABELS[HELD:]
    scores = networks.run_tract(proto, inputs[HELD:])
    graph, layout = read_onnx(proto)
    held = inputs[HELD:].transpose(0, 2, 3, 1) if layout == "nchw" else inputs[HELD:]
    np.testing.assert_allclose(graph.outputs(held), scores, atol=1e-4)
    quantised = quantise(proto, inputs[:HELD])
    answers = np.array(quantised.predict(inputs[HELD:]))
    accuracy = (scores.argmax(axis=1) == truth).mean()
    assert accuracy > floor
    assert (answers == truth).mean() >= accuracy - 0.01
    assert (answers == scores.argmax(axis=1)).mean() > 0.98
    assert quantise(proto, inputs[:HELD]).program == quantised.program
