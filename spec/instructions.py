"""The instructions in plain Python: what they return, what they change, what they cost.

A further implementation of docs/ai-instructions.md beside the one in `crates/evm`, written to be read.

Invariant: a result is a function of the state, the accounts that are warm, the input and the gas given; gas is taken
before the work that it pays for, so who gives too little sees the state as it was.

What it does not do: calls, values, static frames; those are the machine's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eth_utils.crypto import keccak

from spec import sumcheck, sumcheck_chain, tensor

INFER, REGISTER, STORE, EVAL, SUMCHECK_KEY, SUMCHECK_VERIFY = (
    bytes(17) + bytes.fromhex(f"0a100{last}") for last in range(1, 7)
)

COLD, WARM = 2_600, 100
NEW_ACCOUNT, STORED_BYTE = 25_000, 16
STORE_BASE, REGISTER_BASE, INFER_BASE, EVAL_BASE = 5_000, 20_000, 3_000, 3_000
EVAL_NODE = 32
WORD = 3
UNITS_PER_GAS, WEIGHTS_PER_GAS, PROVED_PER_GAS = 16, 16, 4
KEY_BASE, KEY_WEIGHT = 40_000, 14
SUMCHECK_BASE, GIVEN_PER_GAS, KEY_BYTE = 3_000, 4, 8


class OutOfGasError(Exception):
    """More gas is needed than was given; all of it is gone."""


class RefusedError(Exception):
    """Wrong use: reverts with the code and what is wrong; gas that is left is given back."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.gas = 0


def chunk_address(leaf: bytes) -> bytes:
    """Return where a chunk lies."""
    return keccak(b"interlace.chunk" + leaf)[12:]


def program_address(program: bytes) -> bytes:
    """Return where a manifest and its leaves lie."""
    return keccak(b"interlace.program" + program)[12:]


@dataclass
class Machine:
    """The state, as far as these instructions see it, and what a transaction has looked at."""

    codes: dict[bytes, bytes] = field(default_factory=dict)
    """Code of each account that has some."""
    warm: set[bytes] = field(default_factory=set)
    """Accounts that this transaction has looked at."""

    def call(self, instruction: bytes, data: bytes, gas: int) -> tuple[bytes, int]:
        """Return the output and the gas that is left, and keep what changed.

        Raises
        ------
        OutOfGasError, RefusedError
            The second has the gas that is left as `gas`. Nothing changed.
        """
        meter = Meter(gas)
        attempt = Machine(dict(self.codes), set(self.warm))
        run = {
            STORE: attempt.store,
            REGISTER: attempt.register,
            INFER: attempt.infer,
            EVAL: attempt.evaluate,
            SUMCHECK_KEY: attempt.sumcheck_key,
            SUMCHECK_VERIFY: attempt.sumcheck_verify,
        }[instruction]
        try:
            output = run(meter, data)
        except tensor.InvalidError as error:
            refused = RefusedError(error.code)
            refused.gas = meter.left
            raise refused from error
        except sumcheck.RefusedError as error:
            refused = RefusedError("sumcheck.")
            refused.gas = meter.left
            raise refused from error
        except RefusedError as refused:
            refused.gas = meter.left
            raise
        self.codes, self.warm = attempt.codes, attempt.warm
        return output, meter.left

    def store(self, meter: Meter, chunk: bytes) -> bytes:
        """Keep a chunk of weights under its hash."""
        meter.charge(STORE_BASE)
        meter.words(len(chunk))
        if not 1 <= len(chunk) <= tensor.CHUNK_BYTES:
            raise RefusedError("instruction.chunk")
        leaf = keccak(b"\0" + chunk)
        self.put(meter, chunk_address(leaf), chunk)
        return leaf

    def register(self, meter: Meter, data: bytes) -> bytes:
        """Validate a program whose chunks are there, and keep its manifest under its id."""
        meter.charge(REGISTER_BASE)
        meter.words(len(data))
        if len(data) > tensor.CHUNK_BYTES:
            raise RefusedError("instruction.manifest")
        stated, leaves = parts(data)
        program = stated.id
        address = program_address(program)
        if self.look(meter, address) is None:
            weights = self.weights(meter, leaves)
            meter.charge(-(-len(weights) // PROVED_PER_GAS))
            tensor.decode(stated.manifest + weights)
            meter.charge(NEW_ACCOUNT + (len(data) + 1) * STORED_BYTE)
            self.codes[address] = b"\0" + data
        return program

    def infer(self, meter: Meter, data: bytes) -> bytes:
        """Run a program."""
        meter.charge(INFER_BASE)
        if len(data) < 32:
            raise RefusedError("instruction.input")
        program, elements = data[:32], data[32:]
        stored = self.look(meter, program_address(program))
        if stored is None:
            raise RefusedError("instruction.unregistered")
        stated, leaves = parts(stored)
        size = data_bytes(stated.types[0])
        meter.words(size)
        meter.words(data_bytes(stated.types[-1]))
        meter.charge(-(-sum(stated.units) // UNITS_PER_GAS))
        meter.charge(-(-int.from_bytes(stated.manifest[46:50], "big") // WEIGHTS_PER_GAS))
        if len(elements) != size:
            raise RefusedError("instruction.input")
        return on_elements(tensor.decode(stated.manifest + self.weights(meter, leaves)), elements)

    def evaluate(self, meter: Meter, data: bytes) -> bytes:
        """Run a graph that is brought along with its weights."""
        meter.charge(EVAL_BASE)
        meter.words(len(data))
        graph = tensor.read_graph(tensor.Reader(data))
        meter.charge(len(graph.nodes) * EVAL_NODE)
        lengths = tensor.plan(graph)
        meter.words(data_bytes(graph.types[-1]))
        meter.charge(-(-sum(graph.units) // UNITS_PER_GAS))
        meter.charge(-(-sum(lengths) // PROVED_PER_GAS))
        rest = graph.weights
        if len(rest) != sum(lengths) + data_bytes(graph.types[0]):
            raise RefusedError("instruction.input")
        tensor.give_weights(graph, lengths, rest[: sum(lengths)])
        return on_elements(graph, rest[sum(lengths) :])

    def sumcheck_key(self, meter: Meter, data: bytes) -> bytes:
        """Make the key of a registered program, and return its hash and those of the headers of its tensors."""
        meter.charge(KEY_BASE)
        if len(data) != 32:
            raise RefusedError("instruction.input")
        stored = self.look(meter, program_address(data))
        if stored is None:
            raise RefusedError("instruction.unregistered")
        stated, leaves = parts(stored)
        meter.charge(-(-int.from_bytes(stated.manifest[46:50], "big") // WEIGHTS_PER_GAS))
        meter.charge(KEY_WEIGHT * sumcheck_chain.padded_weights(stated))
        program = tensor.decode(stated.manifest + self.weights(meter, leaves))
        headers = [tensor.encode_tensor(kind.dtype, kind.dims, []) for kind in (program.types[0], program.types[-1])]
        return b"".join(keccak(part) for part in (sumcheck_chain.key_of(program), *headers))

    def sumcheck_verify(self, meter: Meter, data: bytes) -> bytes:
        """Check a proof, and return program, key hash and number of inputs."""
        meter.charge(SUMCHECK_BASE)
        meter.charge(-(-len(data) // GIVEN_PER_GAS))
        given = sumcheck_chain.Given.read(data)
        if given is None:
            raise RefusedError("instruction.input")
        meter.charge(len(given.key) * KEY_BYTE)
        try:
            statement = given.statement()
        except tensor.InvalidError as error:
            raise RefusedError("sumcheck.") from error
        meter.charge(sumcheck_chain.work(statement))
        sumcheck.verify(given.key, given.context, given.inputs, given.outputs, given.proof)
        return keccak(statement.program.manifest) + keccak(given.key) + statement.batch.to_bytes(32, "big")

    def look(self, meter: Meter, address: bytes) -> bytes | None:
        """Pay for a look at an account, and return what was put there."""
        meter.charge(WARM if address in self.warm else COLD)
        self.warm.add(address)
        code = self.codes.get(address)
        return None if code is None else code[1:]

    def put(self, meter: Meter, address: bytes, data: bytes) -> None:
        """Put data there, unless it is there."""
        if self.look(meter, address) is None:
            meter.charge(NEW_ACCOUNT + (len(data) + 1) * STORED_BYTE)
            self.codes[address] = b"\0" + data

    def weights(self, meter: Meter, leaves: list[bytes]) -> bytes:
        """Bring the chunks together."""
        chunks = []
        for leaf in leaves:
            chunk = self.look(meter, chunk_address(leaf))
            if chunk is None:
                raise RefusedError("instruction.chunk-missing")
            chunks.append(chunk)
        return b"".join(chunks)


def data_bytes(kind: tensor.TensorType) -> int:
    """Return how many bytes the elements of such a value are."""
    return kind.elements * tensor.ELEMENT_BYTES[kind.dtype]


def on_elements(program: tensor.Program, elements: bytes) -> bytes:
    """Run a program on packed elements, the highest byte of each first."""
    takes, gives = (tensor.ELEMENT_BYTES[program.types[end].dtype] for end in (0, -1))
    starts = range(0, len(elements), takes)
    output = tensor.run(program, [int.from_bytes(elements[at : at + takes], "big", signed=True) for at in starts])
    return b"".join(value.to_bytes(gives, "big", signed=True) for value in output)


@dataclass
class Meter:
    """Gas that is left."""

    left: int

    def charge(self, gas: int) -> None:
        """Take gas."""
        if gas > self.left:
            raise OutOfGasError
        self.left -= gas

    def words(self, size: int) -> None:
        """Pay for bytes that come or go."""
        self.charge(-(-size // 32) * WORD)


def parts(data: bytes) -> tuple[tensor.Program, list[bytes]]:
    """Return the program without its weights, and the leaves that stand behind its manifest."""
    program, lengths, _ = tensor.read_manifest(data)
    count, rest = -(-sum(lengths) // tensor.CHUNK_BYTES), program.weights
    if len(rest) != 32 * count:
        raise RefusedError("instruction.leaves")
    return program, [rest[at : at + 32] for at in range(0, len(rest), 32)]
