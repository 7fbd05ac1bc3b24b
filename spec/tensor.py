"""The integer program in plain Python: decode, validate, identify, run.

A further implementation of docs/integer-programs.md, written to be read. It shares no code with the package: numbers
are Python integers, so nothing here can overflow unseen, and `in_i32` asserts what the validation claims to prove.

Invariant: for every byte string, `decode` accepts it if and only if the package does, and refuses with the same code;
for every accepted program and input, `run` returns the same elements.

What it does not do: it is not fast (about 10^6 multiply-accumulates per second) and it reads files of no kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product as product_of
from math import isqrt, prod

from eth_utils.crypto import keccak

I8, I32 = 1, 2
I32_MAX = 2**31 - 1
ELEMENT_BYTES = {I8: 1, I32: 4}

MAX_NODES = 1_024
MAX_GRAPH_RANK = 4
MAX_DIM = 2**20
MAX_ELEMENTS = 2**24
MAX_TOTAL_ELEMENTS = 2**25
MAX_WEIGHTS_BYTES = 2**26
MAX_UNITS = 2**40
MAX_WINDOW = 1_024
MAX_NORMALISED = 4_096
CHUNK_BYTES = 24_575
HEADER_BYTES = 50

MATMUL, CONV2D, ADD_I32, ADD_I8, REQUANTISE, TABLE, CLAMP, MAX_POOL, AVERAGE_POOL, RESHAPE, ARGMAX = range(1, 12)
MULTIPLY, SOFTMAX, NORMALISE, TOP_K, TRANSPOSE, SLICE = range(12, 18)
MOVES = (RESHAPE, TRANSPOSE, SLICE)


class InvalidError(Exception):
    """The bytes are not a program; `code` says which rule they break."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


def require(condition: bool, code: str, detail: str = "") -> None:
    """Refuse with `code` unless `condition` holds."""
    if not condition:
        raise InvalidError(code, detail)


@dataclass(frozen=True, slots=True)
class TensorType:
    """Data type and shape of a value."""

    dtype: int
    dims: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Product of the dimensions."""
        return prod(self.dims)

    @property
    def channels(self) -> int:
        """Extent of the last axis."""
        return self.dims[-1]


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window with stride and padding (top, left, bottom, right)."""

    size: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def positions(self, height: int, width: int) -> tuple[int, int]:
        """Number of places of the window on each axis; not positive if it does not fit."""
        top, left, bottom, right = self.pads
        return (
            (height + top + bottom - self.size[0]) // self.stride[0] + 1,
            (width + left + right - self.size[1]) // self.stride[1] + 1,
        )


@dataclass(frozen=True, slots=True)
class Node:
    """One operation; attributes that its operator lacks keep their defaults."""

    operator: int
    operands: tuple[int, ...]
    outputs: int = 0
    window: Window | None = None
    multipliers: tuple[int, ...] = ()
    shift: int = 0
    lo: int = -128
    hi: int = 127
    dims: tuple[int, ...] = ()
    flag: bool = False
    """Of a product whose second factor is transposed, of a softmax that sees what came before."""
    order: tuple[int, ...] = ()
    axis: int = 0
    start: int = 0
    length: int = 0
    """Of a slice, and of a top-k."""


@dataclass(slots=True)
class Program:
    """A valid program: what its bytes say, and the slice of weights of each node."""

    manifest: bytes
    weights: bytes
    types: list[TensorType]
    nodes: list[Node]
    units: list[int] = field(default_factory=list)
    slices: list[bytes] = field(default_factory=list)

    @property
    def id(self) -> bytes:
        """keccak256 of the manifest."""
        return keccak(self.manifest)


# ---- reading -------------------------------------------------------------------------------------


class Reader:
    """A cursor over big-endian fields."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        chunk = self.data[self.position : self.position + size]
        require(len(chunk) == size, "program.truncated", f"at {self.position}")
        self.position += size
        return chunk

    def unsigned(self, size: int) -> int:
        """Return the next unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def signed8(self) -> int:
        """Return the next signed byte."""
        return int.from_bytes(self.take(1), "big", signed=True)


def decode(data: bytes) -> Program:
    """Read and validate a program: header, graph, weights, then the proof that nothing overflows."""
    program, lengths, stated_root = read_manifest(data)
    require(sum(lengths) == len(program.weights), "program.weights-length")
    require(weights_root(program.weights) == stated_root, "program.weights-root")
    give_weights(program, lengths, program.weights)
    return program


def give_weights(program: Program, lengths: Sequence[int], weights: bytes) -> None:
    """Give each node its bytes of weights, and prove that nothing overflows."""
    program.weights = weights
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    program.slices = [weights[end - size : end] for end, size in zip(ends, lengths, strict=True)]
    prove(program)


def read_manifest(data: bytes) -> tuple[Program, list[int], bytes]:
    """Read header and graph, and leave what follows as weights.

    Return the bytes of weights that each node takes, and the stated root, besides.
    """
    reader = Reader(data)
    require(reader.take(4) == b"ILTP", "program.magic")
    require(reader.unsigned(2) == 1, "program.semantics")
    stated_units = reader.unsigned(8)
    stated_root = reader.take(32)
    stated_length = reader.unsigned(4)
    program = read_graph(reader)
    lengths = plan(program)
    require(sum(program.units) == stated_units, "program.units", f"computed {sum(program.units)}")
    require(sum(lengths) == stated_length, "program.weights-length")
    return program, lengths, stated_root


def read_graph(reader: Reader) -> Program:
    """Read a graph; what was read up to its end is the manifest, what follows is left as weights."""
    types = [read_input(reader)]
    count = reader.unsigned(2)
    require(1 <= count <= MAX_NODES, "program.limit", f"{count} nodes")
    nodes = [read_node(reader, index) for index in range(count)]
    check_order(nodes)
    return Program(reader.data[: reader.position], reader.data[reader.position :], types, nodes)


def read_input(reader: Reader) -> TensorType:
    """Read type and shape of value 0."""
    dtype = reader.unsigned(1)
    require(dtype in ELEMENT_BYTES, "program.dtype")
    return TensorType(dtype, read_dims(reader))


def read_dims(reader: Reader) -> tuple[int, ...]:
    """Read a rank and that many dimensions."""
    dims = []
    for _ in range(read_rank(reader)):
        dim = reader.unsigned(4)
        require(dim >= 1, "program.dimension")
        require(dim <= MAX_DIM, "program.limit", f"dimension {dim}")
        dims.append(dim)
    return tuple(dims)


def read_rank(reader: Reader) -> int:
    """Read a number of axes."""
    rank = reader.unsigned(1)
    require(rank <= MAX_GRAPH_RANK, "program.limit", f"rank {rank}")
    require(rank >= 1, "program.dimension")
    return rank


def read_node(reader: Reader, index: int) -> Node:
    """Read operator, operands, attributes."""
    operator = reader.unsigned(1)
    require(MATMUL <= operator <= SLICE, "program.operator", f"{operator}")
    arity = 2 if operator in (ADD_I32, ADD_I8, MULTIPLY) else 1
    operands = tuple(reader.unsigned(2) for _ in range(arity))
    require(max(operands) <= index, "program.operand")
    ascending = list(operands) == sorted(operands)
    require(ascending or operator == MULTIPLY, "program.not-minimal", "addition operands ascend")
    if operator == MATMUL:
        return Node(operator, operands, outputs=read_ranged(reader, 4, MAX_DIM))
    if operator == CONV2D:
        window = read_window(reader, padded=True)
        return Node(operator, operands, window=window, outputs=read_ranged(reader, 4, MAX_DIM))
    if operator == ADD_I8:
        pair = (read_ranged(reader, 4, I32_MAX), read_ranged(reader, 4, I32_MAX))
        shift, (lo, hi) = read_ranged(reader, 1, 62), read_range(reader)
        return Node(operator, operands, multipliers=pair, shift=shift, lo=lo, hi=hi)
    if operator == REQUANTISE:
        shift, (lo, hi) = read_ranged(reader, 1, 62), read_range(reader)
        kind = reader.unsigned(1)
        require(kind <= 1, "program.attribute", "multiplier kind")
        multipliers = (read_ranged(reader, 4, I32_MAX),) if kind == 0 else ()
        return Node(operator, operands, multipliers=multipliers, shift=shift, lo=lo, hi=hi)
    if operator == CLAMP:
        lo, hi = read_range(reader)
        require((lo, hi) != (-128, 127), "program.not-minimal", "clamp of nothing")
        return Node(operator, operands, lo=lo, hi=hi)
    if operator in (MAX_POOL, AVERAGE_POOL):
        return Node(operator, operands, window=read_window(reader, padded=operator == MAX_POOL))
    if operator == RESHAPE:
        return Node(operator, operands, dims=read_dims(reader))
    if operator in (MULTIPLY, SOFTMAX):
        flag = reader.unsigned(1)
        require(flag <= 1, "program.attribute", "flag")
        return Node(operator, operands, flag=flag == 1)
    if operator == TOP_K:
        count = read_ranged(reader, 4, MAX_DIM)
        require(count > 1, "program.not-minimal", "an argmax")
        return Node(operator, operands, length=count)
    if operator == TRANSPOSE:
        order = tuple(reader.unsigned(1) for _ in range(read_rank(reader)))
        require(sorted(order) == list(range(len(order))), "program.attribute", "order")
        require(list(order) != sorted(order), "program.not-minimal", "the order of the operand")
        return Node(operator, operands, order=order)
    if operator == SLICE:
        axis, start = reader.unsigned(1), reader.unsigned(4)
        return Node(operator, operands, axis=axis, start=start, length=read_ranged(reader, 4, 2**32 - 1))
    return Node(operator, operands)


def read_ranged(reader: Reader, size: int, largest: int) -> int:
    """Read an attribute of `size` bytes in 1..=largest."""
    value = reader.unsigned(size)
    require(1 <= value <= largest, "program.attribute", f"{value}")
    return value


def read_range(reader: Reader) -> tuple[int, int]:
    """Read the bounds of a clamp."""
    lo, hi = reader.signed8(), reader.signed8()
    require(lo < hi, "program.attribute", f"{lo}..={hi}")
    return lo, hi


def read_window(reader: Reader, *, padded: bool) -> Window:
    """Read height, width, strides, and pads if there are any; a pad is smaller than the window."""
    height, width, down, across = (read_ranged(reader, 2, MAX_WINDOW) for _ in range(4))
    pads = []
    for extent in (height, width, height, width) if padded else ():
        pads.append(reader.unsigned(2))
        require(pads[-1] < extent, "program.attribute", "padding")
    top, left, bottom, right = pads or (0, 0, 0, 0)
    return Window((height, width), (down, across), (top, left, bottom, right))


def check_order(nodes: Sequence[Node]) -> None:
    """Require that the list is the depth-first post-order from the last node."""
    order: list[int] = []
    path = [len(nodes) - 1]
    while path:
        pending = [value - 1 for value in nodes[path[-1]].operands if value > 0 and value - 1 not in order]
        if pending:
            path.append(pending[0])
        else:
            order.append(path.pop())
    require(order == list(range(len(nodes))), "program.order")


# ---- planning ------------------------------------------------------------------------------------


def plan(program: Program) -> list[int]:
    """Infer the type and units of every node, within the limits; return the bytes of weights of each."""
    types, lengths = program.types, []
    require(types[0].elements <= MAX_ELEMENTS, "program.limit")
    for node in program.nodes:
        operands = [types[value] for value in node.operands]
        source = node.operands[0]
        if node.operator in MOVES and source > 0:
            before = program.nodes[source - 1]
            twice = before.operator == node.operator and before.axis == node.axis
            require(not twice, "program.not-minimal", "two that are one")
        result = result_type(node, operands)
        require(result.elements <= MAX_ELEMENTS, "program.limit")
        types.append(result)
        require(sum(value.elements for value in types) <= MAX_TOTAL_ELEMENTS, "program.limit")
        lengths.append(weight_bytes(node, operands[0], result))
        require(sum(lengths) <= MAX_WEIGHTS_BYTES, "program.limit")
        program.units.append(units(node, operands[0], result))
        require(sum(program.units) <= MAX_UNITS, "program.limit")
    return lengths


def result_type(node: Node, operands: Sequence[TensorType]) -> TensorType:
    """Return the type of the node's result, or refuse its operands."""
    x, operator = operands[0], node.operator
    if operator not in (*MOVES, ARGMAX, TOP_K):
        wanted = I32 if operator in (ADD_I32, REQUANTISE) else I8
        require(all(operand.dtype == wanted for operand in operands), "program.operand-type")
    if operator == MATMUL:
        require(len(x.dims) in (1, 2), "program.shape")
        return TensorType(I32, (*x.dims[:-1], node.outputs))
    if node.window is not None:
        require(len(x.dims) == 3, "program.shape")
        height, width = node.window.positions(x.dims[0], x.dims[1])
        require(height >= 1 and width >= 1, "program.shape")
        if operator == CONV2D:
            return TensorType(I32, (height, width, node.outputs))
        return TensorType(I8, (height, width, x.channels))
    if operator in (ADD_I32, ADD_I8):
        require(operands[0].dims == operands[1].dims, "program.shape")
        return x
    if operator == RESHAPE:
        require(node.dims != x.dims, "program.not-minimal")
        require(prod(node.dims) == x.elements, "program.shape")
        return TensorType(x.dtype, node.dims)
    if operator == ARGMAX:
        return TensorType(I32, (*x.dims[:-1], 1))
    if operator == TOP_K:
        require(node.length <= x.channels, "program.shape")
        return TensorType(I32, (*x.dims[:-1], node.length))
    if operator == MULTIPLY:
        a, b = x.dims, operands[1].dims
        require(len(a) in (2, 3) and len(b) == len(a) and a[:-2] == b[:-2], "program.shape")
        inner, columns = (b[-1], b[-2]) if node.flag else (b[-2], b[-1])
        require(inner == a[-1], "program.shape")
        return TensorType(I32, (*a[:-1], columns))
    if operator == SOFTMAX and node.flag:
        require(len(x.dims) >= 2 and x.dims[-1] == x.dims[-2], "program.shape")
    if operator == NORMALISE:
        require(x.channels <= MAX_NORMALISED, "program.shape")
        return TensorType(I32, x.dims)
    if operator == TRANSPOSE:
        require(len(node.order) == len(x.dims), "program.shape")
        return TensorType(x.dtype, tuple(x.dims[axis] for axis in node.order))
    if operator == SLICE:
        require(node.axis < len(x.dims), "program.shape")
        extent = x.dims[node.axis]
        require((node.start, node.length) != (0, extent), "program.not-minimal", "all of it")
        require(node.start + node.length <= extent, "program.shape")
        return TensorType(x.dtype, (*x.dims[: node.axis], node.length, *x.dims[node.axis + 1 :]))
    return TensorType(I8, x.dims)


def depth(node: Node, x: TensorType) -> int:
    """Return how many elements of `x` one output of a product reads."""
    return prod(node.window.size) * x.channels if node.window else x.channels


def weight_bytes(node: Node, x: TensorType, result: TensorType) -> int:
    """Return the bytes of weights of a node."""
    if node.operator in (MATMUL, CONV2D):
        return depth(node, x) * result.channels + 4 * result.channels
    if node.operator == REQUANTISE and not node.multipliers:
        return 4 * result.channels
    return {TABLE: 256, SOFTMAX: 512}.get(node.operator, 0)


def units(node: Node, x: TensorType, result: TensorType) -> int:
    """Return the node's units of work; one unit is one multiply-accumulate of a wide product."""
    out, channels = result.elements, result.channels
    rows = out // channels
    area = prod(node.window.size) if node.window else 0
    height = node.window.size[0] if node.window else 0
    product = depth(node, x) * (-(-channels // 16) * 16) + 4 * channels + 16
    work = {
        MATMUL: rows * product,
        CONV2D: rows * (product + 32 + 16 * height),
        ADD_I32: 8 * out,
        ADD_I8: 8 * out,
        REQUANTISE: 8 * out,
        TABLE: 4 * out,
        CLAMP: out,
        MAX_POOL: rows * (48 + 8 * area) + out * (area + 2),
        AVERAGE_POOL: rows * (48 + 8 * area) + out * (2 * area + 12),
        RESHAPE: 4 * out,
        ARGMAX: 8 * x.elements,
        MULTIPLY: rows * product + prod(result.dims[:-2]) * 8 * depth(node, x) * (-(-channels // 16) * 16),
        SOFTMAX: 24 * out + 64 * rows,
        NORMALISE: 40 * out + 128 * rows,
        TOP_K: 32 * x.elements + 8 * out * (node.length.bit_length() - 1),
        TRANSPOSE: 16 * out,
        SLICE: 16 * out,
    }
    return 128 + work[node.operator]


def weights_root(weights: bytes) -> bytes:
    """Return the Merkle root over chunks of 24,575 bytes; zero for no weights."""
    chunks = (weights[at : at + CHUNK_BYTES] for at in range(0, len(weights), CHUNK_BYTES))
    level = [keccak(b"\x00" + chunk) for chunk in chunks]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [keccak(b"\x01" + pair[0] + pair[1]) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0] if level else bytes(32)


# ---- the proof -----------------------------------------------------------------------------------


def prove(program: Program) -> None:
    """Bound the magnitude of every channel of every i32 value; refuse what could leave i32."""
    bounds = [[128 if program.types[0].dtype == I8 else 2**31] * program.types[0].channels]
    for node, weights, result in zip(program.nodes, program.slices, program.types[1:], strict=True):
        reach = [128] * result.channels
        if node.operator in (MATMUL, CONV2D):
            matrix, bias = dense_weights(weights, result.channels)
            columns = (matrix[channel :: result.channels] for channel in range(result.channels))
            reach = [sum(map(abs, column)) * 128 + abs(b) for column, b in zip(columns, bias, strict=True)]
        elif node.operator == ADD_I32:
            a, b = (bounds[value] for value in node.operands)
            reach = [left + right for left, right in zip(a, b, strict=True)]
        elif node.operator == REQUANTISE and not node.multipliers:
            multipliers = read_i32(weights)
            require(min(multipliers) > 0, "program.multiplier")
            require(len(set(multipliers)) > 1, "program.not-minimal", "equal multipliers")
        elif node.operator == MULTIPLY:
            reach = [program.types[node.operands[0]].channels * 2**14] * result.channels
        elif node.operator == SOFTMAX:
            require(weights[:2] != bytes(2), "program.table", "no weight of the largest")
            reach = [127] * result.channels
        elif node.operator == NORMALISE:
            reach = [2**19] * result.channels
        elif node.operator in MOVES:
            reach = [max(bounds[node.operands[0]])] * result.channels
        elif node.operator in (ARGMAX, TOP_K):
            reach = [program.types[node.operands[0]].channels - 1] * result.channels
        # An i32 input has no bound below 2^31, but only what accumulates can overflow.
        if node.operator in (MATMUL, CONV2D, ADD_I32, MULTIPLY):
            for channel, bound in enumerate(reach):
                require(bound <= I32_MAX, "program.overflow", f"channel {channel} reaches {bound}")
        bounds.append(reach)


def read_i32(data: bytes) -> list[int]:
    """Read little-endian signed words."""
    return [int.from_bytes(data[at : at + 4], "little", signed=True) for at in range(0, len(data), 4)]


def read_i8(data: bytes) -> list[int]:
    """Read signed bytes."""
    return [byte - 256 if byte > 127 else byte for byte in data]


def dense_weights(weights: bytes, channels: int) -> tuple[list[int], list[int]]:
    """Split a product's weights into the row-major matrix and the bias."""
    split = len(weights) - 4 * channels
    return read_i8(weights[:split]), read_i32(weights[split:])


# ---- running -------------------------------------------------------------------------------------


def run(program: Program, values: Sequence[int]) -> list[int]:
    """Run the program on row-major elements; return those of the output."""
    return trace(program, values)[-1]


def trace(program: Program, values: Sequence[int]) -> list[list[int]]:
    """Run the program; return the elements of every node's result."""
    assert len(values) == program.types[0].elements
    results = [list(values)]
    for node, weights, result in zip(program.nodes, program.slices, program.types[1:], strict=True):
        operands = [results[value] for value in node.operands]
        elements = compute(node, operands, program.types[node.operands[0]], result, weights)
        assert len(elements) == result.elements
        results.append(elements)
    return results[1:]


def compute(
    node: Node, operands: Sequence[list[int]], x_type: TensorType, result: TensorType, weights: bytes
) -> list[int]:
    """Compute one node."""
    x = operands[0]
    match node.operator:
        case 1 | 2:
            matrix, bias = dense_weights(weights, result.channels)
            rows = windows(node, x, x_type) if node.window else grouped(x, x_type.channels)
            return [value for row in rows for value in product(row, matrix, bias)]
        case 3:
            return [in_i32(a + b) for a, b in zip(*operands, strict=True)]
        case 4:
            ma, mb = node.multipliers
            return [rescale(node, a * ma + b * mb) for a, b in zip(*operands, strict=True)]
        case 5:
            multipliers = node.multipliers or read_i32(weights)
            return [rescale(node, v * multipliers[i % len(multipliers)]) for i, v in enumerate(x)]
        case 6:
            table = read_i8(weights)
            return [table[value + 128] for value in x]
        case 7:
            return [min(max(value, node.lo), node.hi) for value in x]
        case 8:
            return pooled(node, x, x_type, max)
        case 9:
            return pooled(node, x, x_type, mean)
        case 10:
            return x
        case 12:
            return multiplied(node, operands, x_type, result)
        case 13:
            table = [int.from_bytes(weights[at : at + 2], "little") for at in range(0, 512, 2)]
            rows = enumerate(grouped(x, x_type.channels))
            seen = (row[: index % len(row) + 1] if node.flag else row for index, row in rows)
            return [share for row in seen for share in softmax(row, table, x_type.channels)]
        case 14:
            return [in_i32(value) for row in grouped(x, x_type.channels) for value in normalised(row)]
        case 15:
            rows = grouped(x, x_type.channels)
            ranked = (sorted(range(len(row)), key=lambda index, row=row: (-row[index], index)) for row in rows)
            return [index for order in ranked for index in order[: node.length]]
        case 16:
            return [x[sum(starts)] for starts in product_of(*transposed(node.order, x_type.dims))]
        case 17:
            inner = prod(x_type.dims[node.axis + 1 :])
            blocks = grouped(x, x_type.dims[node.axis] * inner)
            return [v for block in blocks for v in block[node.start * inner : (node.start + node.length) * inner]]
        case _:
            return [row.index(max(row)) for row in grouped(x, x_type.channels)]


def grouped(values: list[int], size: int) -> Iterator[list[int]]:
    """Cut `values` into rows."""
    return (values[at : at + size] for at in range(0, len(values), size))


def in_i32(value: int) -> int:
    """Assert what the proof claims."""
    assert -(2**31) <= value <= I32_MAX, value
    return value


def product(row: Sequence[int], matrix: Sequence[int], bias: Sequence[int]) -> Iterator[int]:
    """Multiply one row by a row-major matrix and add the bias."""
    channels = len(bias)
    for channel in range(channels):
        column = matrix[channel::channels]
        yield in_i32(bias[channel] + sum(a * b for a, b in zip(row, column, strict=True)))


def multiplied(node: Node, operands: Sequence[list[int]], x_type: TensorType, result: TensorType) -> list[int]:
    """Multiply two values, or as many pairs of matrices as their first axis has."""
    (rows, inner), columns = x_type.dims[-2:], result.channels
    values = []
    for a, b in zip(grouped(operands[0], rows * inner), grouped(operands[1], inner * columns), strict=True):
        matrix = [b[column * inner + step] for step in range(inner) for column in range(columns)] if node.flag else b
        values += [value for row in grouped(a, inner) for value in product(row, matrix, [0] * columns)]
    return values


def softmax(row: Sequence[int], table: Sequence[int], length: int) -> list[int]:
    """Return each element's share in 127ths, rounded half up, and zeros up to `length`."""
    weights = [table[max(row) - value] for value in row]
    total = sum(weights)
    return [(2 * 127 * weight + total) // (2 * total) for weight in weights] + [0] * (length - len(row))


def normalised(row: Sequence[int]) -> list[int]:
    """Return each element's deviation from the mean in 4096ths of the standard deviation, rounded half up."""
    n, total = len(row), sum(row)
    root = isqrt((n * sum(value * value for value in row) - total * total) << 24)
    deviations = ((n * value - total) << 24 for value in row)
    return [(2 * deviation + root) // (2 * root) if root else 0 for deviation in deviations]


def transposed(order: Sequence[int], dims: Sequence[int]) -> list[range]:
    """For each axis of the result, what its places add to the place of an element of the operand."""
    return [range(0, dims[axis] * prod(dims[axis + 1 :]), prod(dims[axis + 1 :])) for axis in order]


def rescale(node: Node, value: int) -> int:
    """Divide by 2^shift, round half up, clamp."""
    return min(max((value + (1 << node.shift - 1)) >> node.shift, node.lo), node.hi)


def mean(values: Sequence[int]) -> int:
    """Return the mean, rounded half up."""
    return (2 * sum(values) + len(values)) // (2 * len(values))


def pixels(node: Node, x_type: TensorType) -> Iterator[list[int | None]]:
    """For each place of the window, where in the image each pixel under it starts; None is padding."""
    assert node.window is not None
    height, width, channels = x_type.dims
    top, left, _, _ = node.window.pads
    down, across = node.window.positions(height, width)
    for place in range(down * across):
        row, column = place // across * node.window.stride[0] - top, place % across * node.window.stride[1] - left
        yield [
            (y * width + x) * channels if 0 <= y < height and 0 <= x < width else None
            for y in range(row, row + node.window.size[0])
            for x in range(column, column + node.window.size[1])
        ]


def windows(node: Node, x: list[int], x_type: TensorType) -> Iterator[list[int]]:
    """Gather what each place of the window covers, zeros for padding."""
    zeros = [0] * x_type.channels
    for starts in pixels(node, x_type):
        parts = (zeros if start is None else x[start : start + x_type.channels] for start in starts)
        yield [value for part in parts for value in part]


def pooled(node: Node, x: list[int], x_type: TensorType, reduce: Callable[[list[int]], int]) -> list[int]:
    """Reduce each channel under each window; padding does not take part."""
    return [
        reduce([x[start + channel] for start in starts if start is not None])
        for starts in pixels(node, x_type)
        for channel in range(x_type.channels)
    ]


# ---- tensors -------------------------------------------------------------------------------------


def encode_tensor(dtype: int, dims: Sequence[int], values: Sequence[int]) -> bytes:
    """Return the wire form: ILTV, data type, rank, dimensions big-endian, elements little-endian."""
    head = b"ILTV" + bytes([dtype, len(dims)]) + b"".join(dim.to_bytes(4, "big") for dim in dims)
    return head + b"".join(value.to_bytes(ELEMENT_BYTES[dtype], "little", signed=True) for value in values)


def decode_tensor(data: bytes) -> tuple[int, tuple[int, ...], list[int]]:
    """Read the wire form; return data type, shape and elements."""
    require(len(data) >= 6, "tensor.length")
    require(data[:4] == b"ILTV", "tensor.magic")
    dtype, rank = data[4], data[5]
    require(dtype in ELEMENT_BYTES, "tensor.dtype")
    require(rank <= 8, "tensor.limit")
    require(len(data) >= 6 + 4 * rank, "tensor.length")
    dims = tuple(int.from_bytes(data[6 + 4 * axis : 10 + 4 * axis], "big") for axis in range(rank))
    require(all(dims), "tensor.dimension")
    require(prod(dims) <= MAX_ELEMENTS, "tensor.limit")
    body = data[6 + 4 * rank :]
    require(len(body) == prod(dims) * ELEMENT_BYTES[dtype], "tensor.length")
    return dtype, dims, read_i8(body) if dtype == I8 else read_i32(body)
