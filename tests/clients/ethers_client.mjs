// ethers 6, unmodified, against a running node: deploy, transfer, read logs, a revert with its reason, provider events.
// Usage: node ethers_client.mjs HTTP_URL WS_URL < artifact.json ; prints what it saw as JSON, exits 1 on any surprise.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ContractFactory, HDNodeWallet, JsonRpcProvider, WebSocketProvider, isError, parseEther } from "ethers";

const [url, wsUrl] = process.argv.slice(2);
const { abi, bytecode } = JSON.parse(readFileSync(0, "utf8"));
const phrase = "test test test test test test test test test test test junk";
// ethers remembers a nonce for 250 ms by default, longer than a block takes here; the option is ethers' own remedy.
const provider = new JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 50, cacheTimeout: -1 });
const wallet = (index) => HDNodeWallet.fromPhrase(phrase, "", `m/44'/60'/0'/0/${index}`).connect(provider);
const [alice, bob] = [wallet(2), wallet(3)];

const token = await new ContractFactory(abi, bytecode, alice).deploy(parseEther("7"));
await token.waitForDeployment();

const socket = new WebSocketProvider(wsUrl);
const seen = [];
await token.connect(socket).on("Transfer", (from, to, value) => seen.push({ from, to, value }));

const receipt = await (await token.transfer(bob.address, 5n)).wait();
assert.equal(receipt.status, 1);
assert.equal(await token.balanceOf(bob.address), 5n);
assert.equal((await token.queryFilter("Transfer", 0)).length, 2);
await assert.rejects(token.connect(bob).transfer.staticCall(alice.address, 6n), (error) => isError(error, "CALL_EXCEPTION") && error.revert?.name === "ERC20InsufficientBalance");
await new Promise((done) => setTimeout(done, 500));
assert.equal(seen.length, 1);
assert.equal(seen[0].value, 5n);
console.log(JSON.stringify({ address: await token.getAddress(), seen: seen.length }));
process.exit(0);
