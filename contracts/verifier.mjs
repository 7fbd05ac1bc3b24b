// Compiles one generated verifier: `node verifier.mjs < Verifier.sol` prints {initcode, runtime, compiler} as JSON.
// Invariant: same source and lock file, same code, so that anyone can compare the hash of what is deployed.
// Source: the standard JSON interface of solc; generated verifiers are one contract of assembly, which the old code generator takes.
// What it does not do: it reads no other file and keeps nothing; generated sources are never committed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const solc = createRequire(import.meta.url)("solc");
const input = {
  language: "Solidity",
  sources: { "Verifier.sol": { content: readFileSync(0, "utf8") } },
  settings: {
    optimizer: { enabled: true, runs: 1 },
    evmVersion: "cancun",
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors ?? []).filter(({ severity }) => severity === "error");
for (const { formattedMessage } of errors) console.error(formattedMessage);
if (errors.length > 0) process.exit(1);
const contracts = Object.values(output.contracts["Verifier.sol"]);
if (contracts.length !== 1) {
  console.error(`${contracts.length} contracts in the source, one is expected`);
  process.exit(1);
}
const [{ evm }] = contracts;
const compiler = `solc ${solc.version().split("+")[0]}`;
console.log(JSON.stringify({ initcode: evm.bytecode.object, runtime: evm.deployedBytecode.object, compiler }));
