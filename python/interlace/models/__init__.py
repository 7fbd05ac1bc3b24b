"""Integer models: train, import, quantise, run, describe.

This room turns float models into integer programs whose answers are the same on every machine, and runs them.

Invariant: what decides is integers; floats occur only before a program exists (training, calibration) and around it
(scales). What it does not do: it holds no keys, talks to no chain and serves nobody. scikit-learn and onnx are the
optional extra ``[ml]``.
"""

from __future__ import annotations

from interlace.models.bench import TensorBench, bench_tensor
from interlace.models.builder import GraphBuilder
from interlace.models.card import ModelCard
from interlace.models.program import Program
from interlace.models.quantise import QuantisationReport, Quantised, quantise
from interlace.models.tensor import decode as decode_tensor
from interlace.models.tensor import encode as encode_tensor
from interlace.models.train import TrainedClassifier, train_classifier

__all__ = [
    "GraphBuilder",
    "ModelCard",
    "Program",
    "QuantisationReport",
    "Quantised",
    "TensorBench",
    "TrainedClassifier",
    "bench_tensor",
    "decode_tensor",
    "encode_tensor",
    "quantise",
    "train_classifier",
]
