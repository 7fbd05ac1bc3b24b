"""What SUMCHECK_KEY and SUMCHECK_VERIFY compute, in plain Python: a program's key, and what checking a proof costs.

Written from docs/sumcheck.md and docs/ai-instructions.md; `spec/instructions.py` has the two as instructions.

Invariant: a key is the one that the package makes, to the byte; work is a function of key and batch alone.

What it does not do: it is quadratic in a row of the committed matrix, so it is for small programs.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.crypto import keccak

from spec import sumcheck, tensor
from spec.sumcheck import BLOWUP, QUERIES, P, Statement

ROUND, SAID, ELEMENT, TABLE = 80, 80, 1, 10_000
ENCODED, LOOKED_AT, STEP = 2, 4, 30
RUN_UNITS, RUN_NODE = 16, 32


def extent(log: int) -> tuple[int, int]:
    """Logarithms of the rows and the columns of a committed polynomial of 2^log values."""
    rows = max(log - 6, 0) // 2
    return rows, log - rows


def root(values: list[int]) -> bytes:
    """Commit to values, a power of two of them."""
    _, log_columns = extent(len(values).bit_length() - 1)
    width = 2**log_columns
    leaves = BLOWUP * width
    generator = pow(7, (P - 1) // leaves, P)
    level = []
    for place in range(leaves):
        x, column = pow(generator, place, P), b""
        for start in range(0, len(values), width):
            code = 0
            for coefficient in reversed(values[start : start + width]):
                code = (code * x + coefficient) % P
            column += code.to_bytes(8, "little")
        level.append(keccak(b"\x00" + column))
    while len(level) > 1:
        level = [keccak(b"\x01" + level[at] + level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def key_of(program: tensor.Program) -> bytes:
    """Return the key of a program with its weights."""
    small = sumcheck.small_weights(program, program.slices)
    statement = Statement(program, small, 1)
    values = [0] * 2**statement.log_weights
    for matrix in statement.matrices:
        channels = program.types[matrix.node + 1].channels
        weights = tensor.read_i8(program.slices[matrix.node])[: -4 * channels]
        for row, elements in enumerate(tensor.grouped(weights, channels)):
            start = matrix.offset + row * 2**matrix.log_channels
            values[start : start + channels] = [element % P for element in elements]
    return b"ILSK" + program.manifest + b"".join(small) + root(values)


def padded_weights(program: tensor.Program) -> int:
    """Return how many values a key's commitment has."""
    total = 0
    for index, node in enumerate(program.nodes):
        if node.operator == tensor.MATMUL:
            depth = program.types[node.operands[0]].channels
            total += 2 ** (sumcheck.log2(depth) + sumcheck.log2(program.types[index + 1].channels))
    return int(2 ** max(sumcheck.log2(max(total, 1)), 1))


@dataclass(frozen=True, slots=True)
class Given:
    """A call of SUMCHECK_VERIFY."""

    context: bytes
    key: bytes
    inputs: bytes
    outputs: bytes
    proof: bytes

    @classmethod
    def read(cls, data: bytes) -> Given | None:
        """Take a call apart; none if it is shorter than it says."""
        if len(data) < 44:
            return None
        parts, at = [], 44
        for place in (32, 36, 40):
            end = at + int.from_bytes(data[place : place + 4], "big")
            if end > len(data):
                return None
            parts.append(data[at:end])
            at = end
        return cls(data[:32], *parts, data[at:])

    def statement(self) -> Statement:
        """Return what a proof of it would have to prove; raises as the key or the inputs are wrong."""
        sumcheck.require(self.key[:4] == b"ILSK", "not a key")
        program, _, _ = tensor.read_manifest(self.key[4:])
        lengths = [len(small) for small in sumcheck.small_weights(program, None)]
        sumcheck.require(len(program.weights) == sum(lengths) + 32, "not a key")
        ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
        small = [program.weights[end - size : end] for end, size in zip(ends, lengths, strict=True)]
        Statement(program, small, 1)
        kind = program.types[0]
        size = kind.elements * tensor.ELEMENT_BYTES[kind.dtype]
        sumcheck.require(len(self.inputs) % size == 0, "not a whole number of inputs")
        return Statement(program, small, len(self.inputs) // size)


def work(statement: Statement) -> int:
    """Return the units of work of checking any proof of a statement."""
    program, rounds, said, total = statement.program, 0, 1, 0

    def value(index: int) -> tuple[int, int]:
        """How many values are said, and how many elements are summed, to have one value at a point."""
        if statement.values[index].column is not None:
            return 1, 0
        return 0, int(2 ** (statement.rows(index) + statement.channels(index)))

    def layers(log: int) -> int:
        return log * (log - 1) // 2 + 2 * log

    if statement.bytes:
        rounds, said, total = layers(statement.bytes[1]), said + 1, TABLE
    for index, node in enumerate(program.nodes[: statement.last]):
        column = statement.values[index + 1].column
        if column is None:
            continue
        for operand in node.operands:
            more, elements = value(operand)
            said, total = said + more, total + elements * ELEMENT
        width = 2 ** statement.channels(index + 1)
        if node.operator == tensor.MATMUL:
            depth = program.types[node.operands[0]].channels
            said, rounds, total = said + 2, rounds + sumcheck.log2(depth), total + width * ELEMENT
        elif node.operator == tensor.ADD_I32:
            said += 1
        elif index in statement.rescales:
            rescale = statement.rescales[index]
            numbers = (rescale.rest, rescale.over, rescale.under)
            said += 1 + (rescale.above is not None) + sum(len(n.columns) + (n.shifted is not None) for n in numbers)
            rounds += column.log + 1
            total += 0 if node.multipliers else width * ELEMENT
        else:
            said, rounds, total = said + 1, rounds + layers(column.log), total + TABLE
    last = statement.last
    total += 2 ** (statement.rows(last) + statement.channels(last)) * ELEMENT
    for log in (statement.log, statement.log_weights):
        rows, columns = extent(log)
        levels = columns + 2
        rounds += log
        total += 2**levels * (ENCODED + levels // 4) + QUERIES * (LOOKED_AT * 2**rows + levels * STEP)
    run = program.types[last].elements * ELEMENT
    if last < len(program.nodes):
        run += -(-sum(program.units[last:]) // RUN_UNITS) + RUN_NODE * (len(program.nodes) - last)
    return total + rounds * ROUND + said * SAID + run * statement.batch
