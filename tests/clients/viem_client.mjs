// viem, unmodified, against a running node: deploy an ERC-20, transfer it, read logs, subscribe over WebSocket.
// Usage: node viem_client.mjs HTTP_URL WS_URL < artifact.json ; prints what it saw as JSON, exits 1 on any surprise.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  createPublicClient, createTestClient, createWalletClient, defineChain, encodeFunctionData, http, parseEther, webSocket,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";

const [url, wsUrl] = process.argv.slice(2);
const { abi, bytecode } = JSON.parse(readFileSync(0, "utf8"));
const mnemonic = "test test test test test test test test test test test junk";
const alice = mnemonicToAccount(mnemonic, { addressIndex: 0 });
const bob = mnemonicToAccount(mnemonic, { addressIndex: 1 });
const chain = defineChain({
  id: 31337,
  name: "interlace",
  nativeCurrency: { name: "Native", symbol: "NAT", decimals: 18 },
  rpcUrls: { default: { http: [url], webSocket: [wsUrl] } },
});
const reader = createPublicClient({ chain, transport: http(url, { batch: true }), pollingInterval: 50 });
const socket = createPublicClient({ chain, transport: webSocket(wsUrl) });
const wallet = createWalletClient({ account: alice, chain, transport: http(url) });
const remote = createTestClient({ chain, mode: "hardhat", transport: http(url) });

assert.equal(await reader.getChainId(), 31337);

// Subscriptions first, so that nothing is missed; each resolves with what the socket pushed.
const heads = [];
const unwatchHeads = socket.watchBlocks({ onBlock: (block) => heads.push(block) });
await socket.getBlockNumber();
await new Promise((done) => setTimeout(done, 200));

const deployment = await wallet.deployContract({ abi, bytecode, args: [parseEther("1000")] });
const { contractAddress: address, status } = await reader.waitForTransactionReceipt({ hash: deployment });
assert.equal(status, "success");

const pushed = [];
const unwatchEvents = socket.watchContractEvent({ address, abi, eventName: "Transfer", onLogs: (logs) => pushed.push(...logs) });
await new Promise((done) => setTimeout(done, 200));

const amount = parseEther("12.5");
const { request } = await reader.simulateContract({ account: alice, address, abi, functionName: "transfer", args: [bob.address, amount] });
const receipt = await reader.waitForTransactionReceipt({ hash: await wallet.writeContract(request) });
assert.equal(receipt.status, "success");
assert.equal(await reader.readContract({ address, abi, functionName: "balanceOf", args: [bob.address] }), amount);

const logs = await reader.getContractEvents({ address, abi, eventName: "Transfer", fromBlock: 0n });
assert.equal(logs.length, 2);
assert.equal(logs[1].args.value, amount);

// A revert carries its reason: the ABI decodes the custom error from the data of the JSON-RPC error.
const overdraft = reader.simulateContract({ account: bob, address, abi, functionName: "transfer", args: [alice.address, amount + 1n] });
await assert.rejects(overdraft, (error) => {
  const revert = error.walk((cause) => cause.name === "ContractFunctionRevertedError");
  return revert?.data?.errorName === "ERC20InsufficientBalance" && revert.data.args[1] === amount;
});

// All fee fields, a batch of reads, an EIP-7702 authorisation and an access list go through the same calls.
const authorization = await wallet.signAuthorization({ contractAddress: address, executor: "self" });
const data = encodeFunctionData({ abi, functionName: "totalSupply" });
const delegated = await wallet.sendTransaction({ to: alice.address, data, authorizationList: [authorization] });
assert.equal((await reader.waitForTransactionReceipt({ hash: delegated })).type, "eip7702");
assert.equal((await reader.getCode({ address: alice.address })).toLowerCase(), `0xef0100${address.slice(2)}`.toLowerCase());
const legacy = await wallet.sendTransaction({ to: bob.address, value: 1n, type: "legacy" });
assert.equal((await reader.waitForTransactionReceipt({ hash: legacy })).type, "legacy");

await remote.setBalance({ address: bob.address, value: 7n });
assert.equal(await reader.getBalance({ address: bob.address }), 7n);
await new Promise((done) => setTimeout(done, 500));
unwatchEvents();
unwatchHeads();
assert.equal(pushed.length, 1);
assert.equal(pushed[0].args.to, bob.address);
assert.ok(heads.length >= 4, `saw ${heads.length} heads`);
for (const head of heads) assert.equal((await reader.getBlock({ blockNumber: head.number })).hash, head.hash);

console.log(JSON.stringify({ address, heads: heads.length, logs: logs.length, pushed: pushed.length, amount: String(amount) }));
process.exit(0);
