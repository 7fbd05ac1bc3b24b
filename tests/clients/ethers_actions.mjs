// ethers 6, unmodified: the methods of its provider and signers that a developer's node can answer, each with its result.
// Usage: node ethers_actions.mjs HTTP_URL WS_URL < artifact.json ; prints what it saw as JSON, exits 1 on any surprise.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  ContractFactory, HDNodeWallet, JsonRpcProvider, Wallet, WebSocketProvider, id, isError, parseEther, verifyMessage, verifyTypedData,
} from "ethers";

const [url, wsUrl] = process.argv.slice(2);
const { abi, bytecode } = JSON.parse(readFileSync(0, "utf8"));
const phrase = "test test test test test test test test test test test junk";
const provider = new JsonRpcProvider(url, undefined, { polling: true, pollingInterval: 20, cacheTimeout: -1 });
const alice = HDNodeWallet.fromPhrase(phrase, "", "m/44'/60'/0'/0/6").connect(provider);
const bob = HDNodeWallet.fromPhrase(phrase, "", "m/44'/60'/0'/0/7").connect(provider);

// ---- provider
assert.equal((await provider.getNetwork()).chainId, 31337n);
assert.equal((await provider.listAccounts())[6].address, alice.address);
const token = await (await new ContractFactory(abi, bytecode, alice).deploy(parseEther("7"))).waitForDeployment();
const address = await token.getAddress();
const sent = await token.transfer(bob.address, 5n);
const receipt = await sent.wait(1, 10_000);
assert.equal(receipt.hash, sent.hash);
assert.equal((await provider.getTransaction(sent.hash)).blockHash, receipt.blockHash);
assert.equal((await provider.getTransactionReceipt(sent.hash)).logs.length, 1);
assert.equal((await provider.waitForTransaction(sent.hash)).status, 1);
assert.equal(await receipt.confirmations(), 1);
const block = await provider.getBlock("latest", true);
assert.equal(block.prefetchedTransactions[0].hash, sent.hash);
assert.equal((await provider.getBlock(block.hash)).number, await provider.getBlockNumber());
for (const tag of ["earliest", "safe", "finalized", "pending"]) assert.ok(await provider.getBlock(tag), tag);
assert.equal(await provider.getBalance(address), 0n);
assert.equal(await provider.getTransactionCount(alice.address), await alice.getNonce());
assert.ok((await provider.getCode(address)).length > 1_000);
assert.equal(BigInt(await provider.getStorage(address, 2)), parseEther("7"));
const fees = await provider.getFeeData();
assert.ok(fees.gasPrice > 0n && fees.maxFeePerGas > block.baseFeePerGas && fees.maxPriorityFeePerGas > 0n);
assert.equal(await provider.estimateGas({ from: alice.address, to: bob.address, value: 1n }), 21_000n);
const call = { to: address, data: token.interface.encodeFunctionData("balanceOf", [bob.address]) };
assert.equal(BigInt(await provider.call(call)), 5n);
assert.equal(BigInt(await provider.call({ ...call, blockTag: receipt.blockNumber - 1 })), 0n);
const logs = await provider.getLogs({ address, fromBlock: 0, topics: [id("Transfer(address,address,uint256)")] });
assert.equal(logs.length, 2);
assert.equal(await provider.send("web3_sha3", ["0x01"]), "0x5fe7f977e71dba2ea1a68e21057beebb9be2ac30c6410aa38d4f3fbe41dcffd2");
await assert.rejects(provider.send("eth_noSuchMethod", []), (error) => isError(error, "UNSUPPORTED_OPERATION") || error.error?.code === -32601);

// ---- signers: with a key here, and with a key in the node
const remote = await provider.getSigner(alice.address);
assert.equal(verifyMessage("hello", await remote.signMessage("hello")), alice.address);
const typed = [{ name: "Test", chainId: 31337 }, { Mail: [{ name: "to", type: "address" }] }, { to: bob.address }];
assert.equal(verifyTypedData(...typed, await remote.signTypedData(...typed)), alice.address);
assert.equal(await remote.signTypedData(...typed), await alice.signTypedData(...typed));
assert.equal((await (await remote.sendTransaction({ to: bob.address, value: 1n })).wait()).from, alice.address);
const filled = await alice.populateTransaction({ to: bob.address, value: 1n });
assert.deepEqual([filled.type, filled.gasLimit], [2, 21_000n]);
assert.equal((await (await provider.broadcastTransaction(await alice.signTransaction(filled))).wait()).status, 1);
for (const extra of [{ type: 0 }, { type: 1, accessList: [{ address, storageKeys: [] }] }, { type: 2 }]) {
  const one = await (await alice.sendTransaction({ to: address, data: call.data, ...extra })).wait();
  assert.equal(one.type, extra.type);
}
const authorized = await bob.sendTransaction({ to: bob.address, type: 4, authorizationList: [await alice.authorize({ address })] });
assert.equal((await authorized.wait()).type, 4);
assert.equal((await provider.getCode(alice.address)).toLowerCase(), `0xef0100${address.slice(2)}`.toLowerCase());

// ---- errors are the ones that ethers knows
await assert.rejects(token.connect(bob).transfer(alice.address, 6n), (error) => isError(error, "CALL_EXCEPTION") && token.interface.parseError(error.data).name === "ERC20InsufficientBalance");
await assert.rejects(Wallet.createRandom(provider).sendTransaction({ to: bob.address, value: 1n, gasLimit: 21_000 }), (error) => isError(error, "INSUFFICIENT_FUNDS"));
await assert.rejects(alice.sendTransaction({ to: bob.address, nonce: 0 }), (error) => isError(error, "NONCE_EXPIRED"));

// ---- events, by polling and over WebSocket, and what they are told when nobody listens any more
const socket = new WebSocketProvider(wsUrl);
for (const source of [provider, socket]) {
  const seen = { block: 0, pending: 0, transfer: 0, logs: 0 };
  const watched = token.connect(source);
  await source.on("block", () => (seen.block += 1));
  await source.on("pending", () => (seen.pending += 1));
  await source.on({ address }, () => (seen.logs += 1));
  await watched.on(watched.filters.Transfer(null, bob.address), () => (seen.transfer += 1));
  // ethers asks for the filter on its own time.
  await new Promise((done) => setTimeout(done, 300));
  await (await token.connect(bob).transfer(bob.address, 0n)).wait();
  for (let turn = 0; turn < 150 && Object.values(seen).includes(0); turn += 1) await new Promise((done) => setTimeout(done, 20));
  assert.ok(!Object.values(seen).includes(0), JSON.stringify(seen));
  assert.deepEqual([seen.transfer, seen.logs], [1, 1]);
  await source.removeAllListeners();
  await watched.removeAllListeners();
}
console.log(JSON.stringify({ address }));
process.exit(0);
