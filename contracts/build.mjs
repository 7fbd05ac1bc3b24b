// Compiles the contracts and writes their artifacts: `node build.mjs [--out DIR]`.
// Invariant: same sources and lock file, same bytes; the compiler runs from the lock file, without metadata in the code.
// Source: the standard JSON interface of solc.
// What it does not do: it installs nothing (npm ci does) and deploys nothing.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const solc = require("solc");
const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);

// Which contracts are written where; test contracts never enter the package, those that are measured do.
const SHIPPED = [
  ...["CreditToken", "StakingVault", "Assets", "Programs", "Validators", "FeeRouter", "Settlement", "Readers", "Exchange", "Beacon", "DataValidation", "TransactionFees"],
  ...["Agents", "OrganisationFactory", "Dispute", "Quorum", "Audits", "CallChains", "SumcheckProofs", "ZkVerifiers", "ValidationRegistry", "ClaimValidator", "ReputationRegistry"],
  ...["Timelock", "Policy", "Members", "Organisation"],
];
const at = process.argv.indexOf("--out");
const out = at < 0 ? root : process.argv[at + 1];
const PACKAGE = join(out, "python/interlace/contracts/compiled");
const KERNELS = join(out, "python/interlace/contracts/kernels");
const EXAMPLES = join(out, "examples/compiled");
const TESTS = join(out, "tests/contracts/artifacts");

function solidityFiles(folder) {
  return readdirSync(join(here, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".sol"))
    .map((entry) => relative(here, join(entry.parentPath ?? entry.path, entry.name)))
    .sort();
}

const files = ["src", "bench", "examples", "test"].flatMap(solidityFiles);
const wanted = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers"];
const input = {
  language: "Solidity",
  sources: Object.fromEntries(files.map((name) => [name, { content: readFileSync(join(here, name), "utf8") }])),
  settings: {
    optimizer: { enabled: true, runs: 1000 },
    evmVersion: "cancun",
    viaIR: true,
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    // Only our own files: OpenZeppelin's libraries would be compiled a second time for nothing.
    outputSelection: Object.fromEntries(files.map((name) => [name, { "*": wanted }])),
  },
};
const find = (name) => ({ contents: readFileSync(join(here, "node_modules", name), "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
// Our own warnings are errors; OpenZeppelin's are its own. 5159: a test forces ether with SELFDESTRUCT on purpose.
const ours = ({ severity, errorCode, sourceLocation }) =>
  severity === "error" || (errorCode !== "5159" && /^(src|bench|examples|test)\//.test(sourceLocation?.file ?? ""));
const problems = (output.errors ?? []).filter(ours);
for (const { formattedMessage } of problems) console.error(formattedMessage);
if (problems.length > 0) process.exit(1);

const MAX_RUNTIME = 24576; // EIP-170
for (const folder of [PACKAGE, KERNELS, EXAMPLES, TESTS]) mkdirSync(folder, { recursive: true });
for (const [file, contracts] of Object.entries(output.contracts)) {
  for (const [name, { abi, evm }] of Object.entries(contracts)) {
    const folder = { bench: KERNELS, examples: EXAMPLES, test: TESTS }[file.split("/")[0]] ?? (SHIPPED.includes(name) && PACKAGE);
    if (!folder) continue;
    if (evm.bytecode.object === "") continue; // an interface
    const size = evm.deployedBytecode.object.length / 2;
    if (size > MAX_RUNTIME) throw new Error(`${name}: ${size} bytes of code, EIP-170 allows ${MAX_RUNTIME}`);
    const artifact = {
      contract: name,
      compiler: `solc ${solc.version().split("+")[0]}`,
      abi,
      selectors: evm.methodIdentifiers,
      initcode: `0x${evm.bytecode.object}`,
      runtime: `0x${evm.deployedBytecode.object}`,
    };
    writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(artifact, null, 1)}\n`);
    console.log(`${name}: ${size} bytes`);
  }
}
