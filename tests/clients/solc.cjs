#!/usr/bin/env node
// The compiler that contracts/ pins, with the command line of solc that forge expects: --version, and --standard-json on stdin.
// What it does not do: every other option is accepted and ignored; paths need no permission, because forge sends all sources.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const solc = require(join(__dirname, "../../contracts/node_modules/solc"));

if (process.argv.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error("usage: solc.cjs --version | --standard-json < input.json");
  process.exit(2);
}
