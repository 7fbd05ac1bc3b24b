"""A verifier of sumcheck proofs in plain Python, written from docs/sumcheck.md and to be read beside it.

It shares no code with the package: elements of the field are pairs of Python integers, a message is what `Messages`
takes from the proof, every sum is written out. It checks proofs for who holds the key and for who holds the program.

Invariant: `verify` accepts a proof if and only if the package does.

What it does not do: it makes no proofs, and takes seconds for what the package does in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

from eth_utils.crypto import keccak

from spec import tensor

P = 2**64 - 2**32 + 1
SQUARE = 7
QUERIES = 148
BLOWUP = 4
MAX_BATCH = 2**12
MAX_LOG = 23
SUCCINCT, WITH_PROGRAM = 1, 2
TAIL = (tensor.ARGMAX, tensor.TOP_K, tensor.RESHAPE, tensor.TRANSPOSE, tensor.SLICE, tensor.NORMALISE)

Element = tuple[int, int]
"""a + b·√7."""
Point = Sequence[Element]
ZERO, ONE = (0, 0), (1, 0)


class RefusedError(Exception):
    """The proof does not hold, or nothing can be proved of the program."""


def require(condition: bool, why: str) -> None:
    """Refuse unless `condition` holds."""
    if not condition:
        raise RefusedError(why)


# ---- the field -----------------------------------------------------------------------------------


def number(value: int) -> Element:
    """An integer as an element."""
    return (value % P, 0)


def add(a: Element, b: Element) -> Element:
    """Sum."""
    return ((a[0] + b[0]) % P, (a[1] + b[1]) % P)


def sub(a: Element, b: Element) -> Element:
    """Difference."""
    return ((a[0] - b[0]) % P, (a[1] - b[1]) % P)


def mul(a: Element, b: Element) -> Element:
    """Product."""
    return ((a[0] * b[0] + SQUARE * a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P)


def scale(a: Element, factor: int) -> Element:
    """Product with an integer."""
    return (a[0] * factor % P, a[1] * factor % P)


def inverse(a: Element) -> Element:
    """Inverse; zero for zero."""
    norm = pow(a[0] * a[0] - SQUARE * a[1] * a[1], P - 2, P)
    return (a[0] * norm % P, -a[1] * norm % P)


def total(values: Sequence[Element]) -> Element:
    """Sum of many."""
    return (sum(value[0] for value in values) % P, sum(value[1] for value in values) % P)


# ---- multilinear polynomials ---------------------------------------------------------------------


def corners(point: Point) -> list[Element]:
    """Weight of each corner of the cube; the first variable is the highest bit."""
    weights = [ONE]
    for x in point:
        weights = [part for weight in weights for part in (sub(weight, mul(weight, x)), mul(weight, x))]
    return weights


def between(a: Point, b: Point) -> Element:
    """Weight between two points: the product of 1 - a - b + 2·a·b."""
    result = ONE
    for x, y in zip(a, b, strict=True):
        result = mul(result, add(sub(sub(ONE, x), y), scale(mul(x, y), 2)))
    return result


def at_corner(index: int, point: Point) -> Element:
    """Weight of one corner."""
    bits = [number(index >> place & 1) for place in reversed(range(len(point)))]
    return between(bits, point)


def evaluate(values: Sequence[int], point: Point) -> Element:
    """Value of the polynomial with integers as values; what is missing is zero."""
    return total([scale(weight, value) for value, weight in zip(values, corners(point), strict=False)])


# ---- messages ------------------------------------------------------------------------------------


class Messages:
    """The proof as it is read, and the challenges that follow from all that was read."""

    def __init__(self, proof: bytes) -> None:
        self.state = bytes(32)
        self.proof = proof
        self.position = 0

    def absorb(self, data: bytes) -> None:
        """Take in what both sides know."""
        self.state = keccak(self.state + b"\x00" + data)

    def read(self, size: int) -> bytes:
        """Take the next message of `size` bytes."""
        data = self.proof[self.position : self.position + size]
        require(len(data) == size, "the proof is too short")
        self.position += size
        self.absorb(data)
        return data

    def elements(self, count: int) -> list[Element]:
        """Take the next message of `count` elements."""
        words = integers(self.read(16 * count))
        return list(zip(words[::2], words[1::2], strict=True))

    def element(self) -> Element:
        """Take the next message of one element."""
        return self.elements(1)[0]

    def counts(self) -> list[int]:
        """Take 256 multiplicities."""
        data = self.read(1024)
        return [int.from_bytes(data[start : start + 4], "little") for start in range(0, 1024, 4)]

    def squeeze(self) -> bytes:
        """Draw 32 bytes."""
        self.state = keccak(self.state + b"\x01")
        return self.state

    def challenge(self) -> Element:
        """Draw an element."""
        word = self.squeeze()
        return (int.from_bytes(word[:16], "little") % P, int.from_bytes(word[16:], "little") % P)

    def point(self, variables: int) -> list[Element]:
        """Draw a point."""
        return [self.challenge() for _ in range(variables)]


def integers(data: bytes) -> list[int]:
    """Numbers of eight bytes, little-endian, each below P."""
    words = [int.from_bytes(data[start : start + 8], "little") for start in range(0, len(data), 8)]
    require(all(word < P for word in words), "a number is not canonical")
    return words


def rounds(messages: Messages, variables: int, degree: int, claim: Element) -> tuple[list[Element], Element]:
    """Read a sumcheck: its point, and what the summed polynomial must be there."""
    point = []
    for _ in range(variables):
        values = messages.elements(degree)
        values.insert(1, sub(claim, values[0]))
        x = messages.challenge()
        claim = interpolate(values, x)
        point.append(x)
    return point, claim


def interpolate(values: Sequence[Element], x: Element) -> Element:
    """Value at `x` of the polynomial that has `values` at 0, 1, 2, …."""
    result = ZERO
    for index, value in enumerate(values):
        for other in range(len(values)):
            if other != index:
                value = mul(value, mul(sub(x, number(other)), inverse(number(index - other))))
        result = add(result, value)
    return result


# ---- commitments ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """That the table at `offset` has `value` at `point`."""

    offset: int
    point: Point
    value: Element


def check_claims(messages: Messages, root: bytes, log: int, claims: Sequence[Claim]) -> None:
    """All claims on one polynomial of 2^log values, by one opening."""
    step = messages.challenge()
    powers = [ONE]
    for _ in claims:
        powers.append(mul(powers[-1], step))
    claimed = total([mul(claim.value, power) for claim, power in zip(claims, powers, strict=False)])
    point, end = rounds(messages, log, 2, claimed)
    value = opened(messages, root, point)
    weight = ZERO
    for claim, power in zip(claims, powers, strict=False):
        size = len(claim.point)
        place = at_corner(claim.offset >> size, point[: log - size])
        weight = add(weight, mul(mul(place, between(claim.point, point[log - size :])), power))
    require(mul(value, weight) == end, "claims do not agree with what is committed")


def opened(messages: Messages, root: bytes, point: Point) -> Element:
    """Value of a committed polynomial at a random point."""
    log_rows = max(len(point) - 6, 0) // 2
    log_columns = len(point) - log_rows
    combined = messages.elements(2**log_columns)
    leaves = BLOWUP * 2**log_columns
    drawn = {int.from_bytes(messages.squeeze()[:8], "little") % leaves for _ in range(QUERIES)}
    places = sorted(drawn)
    size = 8 * 2**log_rows
    columns = messages.read(size * len(places))
    generator = pow(7, (P - 1) // leaves, P)
    weights = corners(point[:log_rows])
    hashes = []
    for index, place in enumerate(places):
        column = columns[index * size : (index + 1) * size]
        entries = integers(column)
        combination = total([scale(weight, entry) for weight, entry in zip(weights, entries, strict=True)])
        x, code = pow(generator, place, P), ZERO
        for coefficient in reversed(combined):
            code = add(scale(code, x), coefficient)
        require(combination == code, "a column does not agree with the rows' combination")
        hashes.append(keccak(b"\x00" + column))
    level = dict(zip(places, hashes, strict=True))
    for _ in range(leaves.bit_length() - 1):
        missing = [place ^ 1 for place in sorted(level) if place ^ 1 not in level]
        siblings = messages.read(32 * len(missing))
        for index, place in enumerate(missing):
            level[place] = siblings[32 * index : 32 * index + 32]
        level = {place // 2: keccak(b"\x01" + level[place] + level[place ^ 1]) for place in level if place % 2 == 0}
    require(level == {0: root}, "a column is not under the root")
    return total([mul(value, weight) for value, weight in zip(combined, corners(point[log_rows:]), strict=True)])


# ---- the statement -------------------------------------------------------------------------------


@dataclass(slots=True)
class Column:
    """A committed table of 2^log elements."""

    log: int
    byte: bool
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the program: the column it is committed in less `lo`, none if it is the input."""

    column: Column | None
    lo: int = 0


@dataclass(frozen=True, slots=True)
class Bits:
    """A number of `bits` bits: its bytes, and the highest of them shifted up."""

    columns: list[Column]
    shifted: Column | None
    bits: int


@dataclass(frozen=True, slots=True)
class Rescale:
    """What a rescaling commits to."""

    factors: list[list[int]]
    node: tensor.Node
    column: Column
    above: Column | None
    rest: Bits
    over: Bits
    under: Bits


@dataclass(slots=True)
class Matrix:
    """A matrix of a node, padded."""

    node: int
    log_depth: int
    log_channels: int
    offset: int = 0


def log2(count: int) -> int:
    """The least power of two that is not below `count`."""
    return (count - 1).bit_length()


class Statement:
    """What is committed for a program and a batch, and where."""

    def __init__(self, program: tensor.Program, small: Sequence[bytes], batch: int) -> None:
        require(1 <= batch <= MAX_BATCH, "too many inputs, or none")
        self.program, self.small, self.batch = program, small, batch
        self.columns: list[Column] = []
        self.matrices: list[Matrix] = []
        self.values = [Value(None)]
        self.rescales: dict[int, Rescale] = {}
        self.last = len(program.nodes)
        while self.last and self.is_tail(self.last - 1):
            self.last -= 1
        for index in range(self.last):
            self.values.append(self.commit(index))
        require(any(value.column for value in self.values), "there is nothing to be proved")
        self.place()

    def is_tail(self, index: int) -> bool:
        """Whether a node only moves or orders the value before it."""
        node = self.program.nodes[index]
        return node.operator in TAIL and node.operands == (index,)

    def rows(self, value: int) -> int:
        """Variables of the rows of a value's table."""
        return log2(self.batch) + log2(prod(self.program.types[value].dims[:-1]))

    def channels(self, value: int) -> int:
        """Variables of its channels."""
        return log2(self.program.types[value].channels)

    def column(self, log: int, *, byte: bool) -> Column:
        """Commit to one more table."""
        self.columns.append(Column(log, byte))
        return self.columns[-1]

    def number(self, log: int, bits: int) -> Bits:
        """Commit to a number for each element."""
        columns = [self.column(log, byte=True) for _ in range(-(-bits // 8))]
        return Bits(columns, self.column(log, byte=True) if bits % 8 else None, bits)

    def commit(self, index: int) -> Value:
        """Commit to what a node computes."""
        node = self.program.nodes[index]
        log = self.rows(index + 1) + self.channels(index + 1)
        match node.operator:
            case tensor.MATMUL:
                depth = self.program.types[node.operands[0]].channels
                self.matrices.append(Matrix(index, log2(depth), self.channels(index + 1)))
                return Value(self.column(log, byte=False))
            case tensor.ADD_I32 | tensor.TABLE | tensor.CLAMP:
                return Value(self.column(log, byte=False))
            case tensor.REQUANTISE | tensor.ADD_I8:
                return self.rescale(index, node, log)
            case tensor.RESHAPE:
                require(self.values[node.operands[0]].column is None, "only the input is reshaped")
                return Value(None)
        raise RefusedError("not covered")

    def rescale(self, index: int, node: tensor.Node, log: int) -> Value:
        """Commit to result, remainder, and what is clamped away."""
        channels = 2 ** self.channels(index + 1)
        own = tensor.read_i32(self.small[index])
        if own:
            factors = [own + [0] * (channels - len(own))]
        else:
            factors = [[multiplier] * channels for multiplier in node.multipliers]
        largest = sum(max(factor) for factor in factors) * (2**31 if node.operator == tensor.REQUANTISE else 2**7)
        half = 2 ** (node.shift - 1)
        bits = ((largest + half) // 2**node.shift + 256).bit_length()
        require(2 ** (node.shift + bits) + 257 * 2**node.shift + largest + half < P, "the equation could wrap around")
        column = self.column(log, byte=True)
        above = self.column(log, byte=True) if node.hi - node.lo < 255 else None
        numbers = [self.number(log, bits) for bits in (node.shift, bits, bits)]
        self.rescales[index] = Rescale(factors, node, column, above, *numbers)
        return Value(column, node.lo)

    def place(self) -> None:
        """Lay tables out, the longest first; those of bytes are together, as one table."""
        together = sorted((column for column in self.columns if column.byte), key=lambda column: -column.log)
        size = 0
        for column in together:
            column.offset = size
            size += 2**column.log
        blocks: list[tuple[int, Column | None]] = [(c.log, c) for c in self.columns if not c.byte]
        if together:
            blocks.append((log2(size), None))
        end = 0
        self.bytes: tuple[int, int] | None = None
        for log, block in sorted(blocks, key=lambda block: -block[0]):
            if block is None:
                self.bytes = (end, log)
                for column in together:
                    column.offset += end
            else:
                block.offset = end
            end += 2**log
        self.log = max(log2(end), 1)
        end = 0
        for matrix in sorted(self.matrices, key=lambda matrix: -(matrix.log_depth + matrix.log_channels)):
            matrix.offset = end
            end += 2 ** (matrix.log_depth + matrix.log_channels)
        self.log_weights = max(log2(end), 1)
        require(max(self.log, self.log_weights) <= MAX_LOG, "too large")


# ---- the verifier --------------------------------------------------------------------------------


class Verifier:
    """One reading of a proof."""

    def __init__(self, statement: Statement, messages: Messages, inputs: bytes) -> None:
        self.statement, self.messages, self.inputs = statement, messages, inputs
        self.committed: list[Claim] = []
        self.matrices: list[Claim] = []

    def column(self, column: Column, point: Point) -> Element:
        """Read what a column is said to be at `point`."""
        value = self.messages.element()
        self.committed.append(Claim(column.offset, point, value))
        return value

    def value(self, index: int, point: Point) -> Element:
        """A value at `point`: as said if it is committed, computed if it is the input."""
        source = self.statement.values[index]
        if source.column is not None:
            return add(self.column(source.column, point), number(source.lo))
        kind = self.statement.program.types[index]
        read = tensor.read_i8 if kind.dtype == tensor.I8 else tensor.read_i32
        elements = read(self.inputs)
        rows, width = elements[:0], 2 ** self.statement.channels(index)
        of_one = 2 ** (self.statement.rows(index) - log2(self.statement.batch))
        for start in range(0, len(elements), kind.elements):
            table: list[int] = []
            for row in tensor.grouped(elements[start : start + kind.elements], kind.channels):
                table += row + [0] * (width - len(row))
            rows += table + [0] * (of_one * width - len(table))
        return evaluate(rows, point)

    def bits(self, bits: Bits, point: Point) -> Element:
        """A number from its bytes."""
        said = [self.column(column, point) for column in bits.columns]
        if bits.shifted is not None:
            require(self.column(bits.shifted, point) == scale(said[-1], 2 ** (-bits.bits % 8)), "too many bits")
        return total([scale(value, 256**place) for place, value in enumerate(said)])

    def fractions(
        self, log: int, prints: Sequence[Element], counts: Sequence[int], at: Element
    ) -> tuple[Point, Element]:
        """Read that 2^log elements stand in a table; return what is claimed of their denominators."""
        above, below = whole = tuple(self.messages.elements(2))
        point: list[Element] = []
        for layer in range(log):
            mix = self.messages.challenge()
            end_point, end = rounds(self.messages, layer, 3, add(above, mul(mix, below)))
            a, b, c, d = self.messages.elements(4)
            sums = add(add(mul(a, d), mul(b, c)), mul(mix, mul(c, d)))
            require(mul(between(point, end_point), sums) == end, "a layer of the look-ups")
            x = self.messages.challenge()
            above, below = add(a, mul(x, sub(b, a))), add(c, mul(x, sub(d, c)))
            point = [x, *end_point]
        require(above == ONE and whole[1] != ZERO, "numerators are one")
        table = [scale(inverse(sub(at, entry)), count) for entry, count in zip(prints, counts, strict=True)]
        require(whole[0] == mul(whole[1], total(table)), "the look-ups do not hold")
        return point, below

    def relations(self) -> None:
        """Read every relation, in the order of the nodes."""
        statement, messages = self.statement, self.messages
        byte_counts = messages.counts() if statement.bytes else []
        nodes = list(enumerate(statement.program.nodes[: statement.last]))
        lookups = [index for index, node in nodes if node.operator in (tensor.TABLE, tensor.CLAMP)]
        counts = {index: messages.counts() for index in lookups}
        at, pair = messages.challenge(), messages.challenge()
        if statement.bytes:
            start, log = statement.bytes
            point, below = self.fractions(log, [number(byte) for byte in range(256)], byte_counts, at)
            self.committed.append(Claim(start, point, sub(at, below)))
        for index, node in nodes:
            column = statement.values[index + 1].column
            if column is None:
                continue
            if node.operator == tensor.MATMUL:
                self.product(index, node, column)
            elif node.operator == tensor.ADD_I32:
                point = messages.point(column.log)
                whole = self.column(column, point)
                a, b = (self.value(operand, point) for operand in node.operands)
                require(add(a, b) == whole, "a sum")
            elif index in statement.rescales:
                self.rescale(statement.rescales[index], index)
            else:
                table = tensor.read_i8(statement.small[index]) or [
                    min(max(x, node.lo), node.hi) for x in range(-128, 128)
                ]
                prints = [add(number(x), scale(pair, y)) for x, y in zip(range(-128, 128), table, strict=True)]
                point, below = self.fractions(column.log, prints, counts[index], at)
                x_at = self.value(node.operands[0], point)
                y_at = self.column(column, point)
                require(sub(sub(at, x_at), mul(pair, y_at)) == below, "a look-up")

    def product(self, index: int, node: tensor.Node, column: Column) -> None:
        """A product by a matrix."""
        matrix = next(matrix for matrix in self.statement.matrices if matrix.node == index)
        point = self.messages.point(column.log)
        row_point, channel_point = point[: -matrix.log_channels or None], point[len(point) - matrix.log_channels :]
        bias = evaluate(tensor.read_i32(self.statement.small[index]), channel_point)
        whole = sub(self.column(column, point), bias)
        depth_point, end = rounds(self.messages, matrix.log_depth, 2, whole)
        weights = self.messages.element()
        x = self.value(node.operands[0], [*row_point, *depth_point])
        require(mul(x, weights) == end, "a product")
        self.matrices.append(Claim(matrix.offset, [*depth_point, *channel_point], weights))

    def rescale(self, rescale: Rescale, index: int) -> None:
        """Sum + half = 2^shift · (y + over - under) + rest, with nothing clamped inside the range."""
        node, column = rescale.node, rescale.column
        point, mix = self.messages.point(column.log), self.messages.challenge()
        end_point, end = rounds(self.messages, column.log, 3, ZERO)
        y = self.column(column, end_point)
        if rescale.above is not None:
            require(add(y, self.column(rescale.above, end_point)) == number(node.hi - node.lo), "out of its range")
        rest, over, under = (self.bits(bits, end_point) for bits in (rescale.rest, rescale.over, rescale.under))
        channel_point = end_point[len(end_point) - self.statement.channels(index + 1) :]
        whole = number(2 ** (node.shift - 1))
        for factor, operand in zip(rescale.factors, node.operands, strict=True):
            whole = add(whole, mul(self.value(operand, end_point), evaluate(factor, channel_point)))
        y = add(y, number(node.lo))
        equation = sub(sub(whole, scale(sub(add(y, over), under), 2**node.shift)), rest)
        inside = add(mul(over, sub(number(node.hi), y)), mul(mix, mul(under, sub(y, number(node.lo)))))
        require(mul(between(point, end_point), add(equation, mul(mix, inside))) == end, "a rescaling")


def verify(key: bytes, context: bytes, inputs: bytes, outputs: bytes, proof: bytes) -> None:
    """Check a proof for who holds the key; raises if it does not hold."""
    require(key[:4] == b"ILSK", "not a key")
    program, _, _ = tensor.read_manifest(key[4:])
    lengths = [len(small) for small in small_weights(program, None)]
    require(len(program.weights) == sum(lengths) + 32, "not a key")
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    small = [program.weights[end - size : end] for end, size in zip(ends, lengths, strict=True)]
    verifier = read(program, small, SUCCINCT, context, (inputs, outputs), proof)
    if verifier.matrices:
        check_claims(verifier.messages, program.weights[-32:], verifier.statement.log_weights, verifier.matrices)
    require(verifier.messages.position == len(proof), "bytes follow the proof")


def verify_with_program(data: bytes, context: bytes, inputs: bytes, outputs: bytes, proof: bytes) -> None:
    """Check a proof for who holds the program; raises if it does not hold."""
    program = tensor.decode(data)
    small = small_weights(program, program.slices)
    verifier = read(program, small, WITH_PROGRAM, context, (inputs, outputs), proof)
    for claim, matrix in zip(verifier.matrices, verifier.statement.matrices, strict=True):
        channels = program.types[matrix.node + 1].channels
        weights = tensor.read_i8(program.slices[matrix.node])[: -4 * channels]
        width = 2**matrix.log_channels
        padded = [x for row in tensor.grouped(weights, channels) for x in row + [0] * (width - channels)]
        require(evaluate(padded, claim.point) == claim.value, "a matrix has another value")
    require(verifier.messages.position == len(proof), "bytes follow the proof")


def small_weights(program: tensor.Program, slices: Sequence[bytes] | None) -> list[bytes]:
    """The weights of each node that are not a matrix; zeros in their place without `slices`."""

    def size(index: int, node: tensor.Node) -> int:
        by_channel = node.operator == tensor.MATMUL or (node.operator == tensor.REQUANTISE and not node.multipliers)
        return 4 * program.types[index + 1].channels if by_channel else 256 if node.operator == tensor.TABLE else 0

    sizes = [size(index, node) for index, node in enumerate(program.nodes)]
    if slices is None:
        return [bytes(count) for count in sizes]
    return [part[len(part) - count :] for part, count in zip(slices, sizes, strict=True)]


def read(
    program: tensor.Program, small: Sequence[bytes], form: int, context: bytes, ends: tuple[bytes, bytes], proof: bytes
) -> Verifier:
    """Check everything but the openings of the matrices."""
    inputs, outputs = ends
    kind = program.types[0]
    size = kind.elements * tensor.ELEMENT_BYTES[kind.dtype]
    require(len(inputs) % size == 0, "not a whole number of inputs")
    statement = Statement(program, small, len(inputs) // size)
    messages = Messages(proof)
    messages.absorb(b"interlace sumcheck 1")
    about = keccak(program.manifest) + bytes([form]) + context + statement.batch.to_bytes(8, "big")
    messages.absorb(about + keccak(inputs) + keccak(outputs))
    root = messages.read(32)
    last = program.types[statement.last]
    rows, channels = statement.rows(statement.last), statement.channels(statement.last)
    payload = messages.read(tensor.ELEMENT_BYTES[last.dtype] * 2 ** (rows + channels))
    elements = (tensor.read_i8 if last.dtype == tensor.I8 else tensor.read_i32)(payload)
    require(computed(statement, elements) == outputs, "other outputs")
    verifier = Verifier(statement, messages, inputs)
    verifier.relations()
    source = statement.values[statement.last]
    if source.column is not None:
        point = messages.point(source.column.log)
        value = sub(evaluate(elements, point), number(source.lo))
        verifier.committed.append(Claim(source.column.offset, point, value))
    check_claims(messages, root, statement.log, verifier.committed)
    return verifier


def computed(statement: Statement, elements: list[int]) -> bytes:
    """The program's outputs from the value in the open."""
    program, last = statement.program, statement.last
    kind = program.types[last]
    width = 2 ** statement.channels(last)
    of_one = 2 ** (statement.rows(last) - log2(statement.batch)) * width
    nodes = [replace(node, operands=(index,)) for index, node in enumerate(program.nodes[last:])]
    tail = tensor.Program(b"", b"", list(program.types[last:]), nodes, slices=[b""] * len(nodes))
    encode: Callable[[int], bytes] = (
        (lambda x: x.to_bytes(1, "little", signed=True))
        if program.types[-1].dtype == tensor.I8
        else (lambda x: x.to_bytes(4, "little", signed=True))
    )
    outputs = b""
    for index in range(statement.batch):
        table = elements[index * of_one : (index + 1) * of_one]
        rows = list(tensor.grouped(table, width))[: kind.elements // kind.channels]
        values = [x for row in rows for x in row[: kind.channels]]
        outputs += b"".join(encode(x) for x in (tensor.run(tail, values) if nodes else values))
    return outputs
