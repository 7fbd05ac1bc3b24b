// Compile Token.sol with the compiler and the OpenZeppelin sources that contracts/ pins; print {abi, bytecode} as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "../../contracts/node_modules");
const solc = createRequire(join(modules, "x.js"))("solc");

const input = {
  language: "Solidity",
  sources: { "Token.sol": { content: readFileSync(join(here, "Token.sol"), "utf8") } },
  settings: {
    optimizer: { enabled: true, runs: 200 },
    evmVersion: "cancun",
    outputSelection: { "*": { Token: ["abi", "evm.bytecode.object"] } },
  },
};
const findImport = (path) => ({ contents: readFileSync(join(modules, path), "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
const errors = (output.errors ?? []).filter((entry) => entry.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((entry) => entry.formattedMessage).join("\n"));
  process.exit(1);
}
const token = output.contracts["Token.sol"].Token;
console.log(JSON.stringify({ abi: token.abi, bytecode: `0x${token.evm.bytecode.object}` }));
