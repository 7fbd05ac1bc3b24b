// viem, unmodified: the actions of its public, wallet and test clients that a developer's node can answer, each with its result.
// Usage: node viem_actions.mjs HTTP_URL WS_URL < artifact.json ; prints how many actions ran as JSON, exits 1 on any surprise.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  createPublicClient, createTestClient, createWalletClient, encodeFunctionData, http, keccak256, parseAbiItem, parseEther,
  parseGwei, toHex, verifyMessage,
} from "viem";
import { generatePrivateKey, privateKeyToAccount, mnemonicToAccount } from "viem/accounts";
import { hardhat } from "viem/chains";

const [url] = process.argv.slice(2);
const { abi, bytecode } = JSON.parse(readFileSync(0, "utf8"));
const transport = http(url);
const base = createPublicClient({ chain: hardhat, transport, pollingInterval: 20 });
const phrase = "test test test test test test test test test test test junk";
const [alice, bob] = [8, 9].map((addressIndex) => mnemonicToAccount(phrase, { addressIndex }));
const signing = createWalletClient({ account: alice, chain: hardhat, transport });
const unlocked = createWalletClient({ account: alice.address, chain: hardhat, transport });

// Each client notes which of its actions were called.
const called = new Set();
const noted = (client) =>
  new Proxy(client, {
    get(target, name) {
      const found = target[name];
      if (typeof found === "function") called.add(name);
      return found;
    },
  });
const reader = noted(base);
const [wallet, remote] = [noted(signing), noted(unlocked)];
const wait = (hash) => reader.waitForTransactionReceipt({ hash });

// ---- wallet actions
assert.deepEqual((await remote.getAddresses()).slice(8, 9), [alice.address]);
assert.ok((await remote.requestAddresses()).includes(alice.address));
assert.equal(await wallet.getChainId(), 31337);
const { contractAddress: token } = await wait(await wallet.deployContract({ abi, bytecode, args: [1_000n] }));
const request = await wallet.prepareTransactionRequest({ to: bob.address, value: 1n });
assert.deepEqual([request.type, request.gas], ["eip1559", 21_000n]);
const serialized = await wallet.signTransaction(request);
assert.equal((await wait(await wallet.sendRawTransaction({ serializedTransaction: serialized }))).status, "success");
const next = await wallet.prepareTransactionRequest({ to: bob.address, value: 2n });
const sync = await wallet.sendRawTransactionSync({ serializedTransaction: await wallet.signTransaction(next) });
assert.equal(sync.status, "success");
assert.equal((await wallet.sendTransactionSync({ to: bob.address, value: 3n })).status, "success");
assert.equal((await wait(await remote.sendTransaction({ to: bob.address, value: 4n }))).from, alice.address.toLowerCase());
const legacyList = [{ address: token, storageKeys: [toHex(0, { size: 32 })] }];
const withList = await wait(await remote.sendTransaction({ to: token, data: "0x18160ddd", accessList: legacyList }));
assert.deepEqual((await base.getTransaction({ hash: withList.transactionHash })).accessList, legacyList.map((one) => ({ ...one, address: token.toLowerCase() })));
for (const one of [wallet, remote]) {
  const signature = await one.signMessage({ message: "hello" });
  assert.ok(await verifyMessage({ address: alice.address, message: "hello", signature }));
}
const typed = {
  domain: { name: "Test", chainId: 31337 }, types: { Mail: [{ name: "to", type: "address" }] }, primaryType: "Mail", message: { to: bob.address },
};
assert.equal(await remote.signTypedData(typed), await wallet.signTypedData(typed));
assert.equal((await wait(await remote.writeContract({ address: token, abi, functionName: "approve", args: [bob.address, 5n] }))).status, "success");

// ---- public actions
const head = await reader.getBlockNumber({ cacheTime: 0 });
const block = await reader.getBlock({ blockNumber: head, includeTransactions: true });
const hash = block.transactions[0].hash;
assert.equal(await reader.getBlockTransactionCount({ blockHash: block.hash }), 1);
assert.equal((await reader.getTransaction({ hash })).blockHash, block.hash);
assert.equal((await reader.getTransaction({ blockHash: block.hash, index: 0 })).hash, hash);
assert.equal((await reader.getTransactionReceipt({ hash })).transactionHash, hash);
assert.equal(await reader.getTransactionConfirmations({ hash }), 1n);
assert.ok((await reader.getTransactionCount({ address: alice.address })) >= 7);
assert.equal(await reader.getBalance({ address: token }), 0n);
assert.ok((await reader.getCode({ address: token })).length > 1_000);
assert.equal(await reader.getStorageAt({ address: token, slot: "0x2" }), toHex(1_000, { size: 32 }));
const proof = await reader.getProof({ address: token, storageKeys: [toHex(2, { size: 32 })] });
assert.equal(proof.storageProof[0].value, 1_000n);
assert.ok((await reader.getGasPrice()) > 0n);
assert.ok((await reader.getBlobBaseFee()) >= 1n);
assert.ok((await reader.estimateMaxPriorityFeePerGas()) > 0n);
assert.ok((await reader.estimateFeesPerGas()).maxFeePerGas > block.baseFeePerGas);
assert.equal((await reader.getFeeHistory({ blockCount: 3, rewardPercentiles: [25, 75] })).reward.length, 3);
assert.equal(await reader.estimateGas({ account: alice, to: bob.address, value: 1n }), 21_000n);
const transfer = { account: alice.address, address: token, abi, functionName: "transfer", args: [bob.address, 1n] };
const needed = await reader.estimateContractGas(transfer);
assert.ok(needed > 21_000n && needed < 100_000n);
assert.equal((await reader.simulateContract(transfer)).result, true);
assert.equal(await reader.readContract({ address: token, abi, functionName: "totalSupply" }), 1_000n);
const totalSupply = encodeFunctionData({ abi, functionName: "totalSupply" });
assert.equal(BigInt((await reader.call({ to: token, data: totalSupply })).data), 1_000n);
const overridden = await reader.call({ to: token, data: totalSupply, stateOverride: [{ address: token, stateDiff: [{ slot: toHex(2, { size: 32 }), value: toHex(7, { size: 32 }) }] }] });
assert.equal(BigInt(overridden.data), 7n);
assert.equal(BigInt((await reader.call({ code: `${bytecode}${toHex(6n, { size: 32 }).slice(2)}`, data: totalSupply })).data), 6n);
const listed = await reader.createAccessList({ account: alice.address, to: token, data: totalSupply });
assert.ok(listed.gasUsed > 21_000n);
const event = parseAbiItem("event Transfer(address indexed from, address indexed to, uint256 value)");
assert.equal((await reader.getLogs({ address: token, event, fromBlock: 0n })).length, 1);
assert.equal((await reader.getContractEvents({ address: token, abi, fromBlock: 0n, eventName: "Approval" })).length, 1);
const signature = await signing.signMessage({ message: "hello" });
assert.equal(await reader.verifyMessage({ address: alice.address, message: "hello", signature }), true);
assert.equal(await reader.verifyTypedData({ ...typed, address: alice.address, signature: await signing.signTypedData(typed) }), true);
assert.equal(await reader.verifyHash({ address: alice.address, hash: keccak256("0x01"), signature }), false);

// Filters: each sees what happens after it was made, once.
const filters = {
  blocks: await reader.createBlockFilter(),
  pending: await reader.createPendingTransactionFilter(),
  events: await reader.createEventFilter({ address: token, event }),
  contract: await reader.createContractEventFilter({ address: token, abi, eventName: "Transfer" }),
};
const moved = await wait(await remote.writeContract({ address: token, abi, functionName: "transfer", args: [bob.address, 2n] }));
assert.deepEqual(await reader.getFilterChanges({ filter: filters.blocks }), [moved.blockHash]);
assert.deepEqual(await reader.getFilterChanges({ filter: filters.pending }), [moved.transactionHash]);
for (const filter of [filters.events, filters.contract]) {
  assert.equal((await reader.getFilterChanges({ filter }))[0].args.value, 2n);
  assert.equal((await reader.getFilterChanges({ filter })).length, 0);
  assert.equal((await reader.getFilterLogs({ filter })).length, 1);
}
for (const filter of Object.values(filters)) assert.equal(await reader.uninstallFilter({ filter }), true);

// Watching by polling.
const seen = { blocks: [], numbers: [], events: [], contract: [], pending: [] };
const stops = [
  reader.watchBlocks({ onBlock: (one) => seen.blocks.push(one), emitMissed: true }),
  reader.watchBlockNumber({ onBlockNumber: (one) => seen.numbers.push(one), emitMissed: true }),
  reader.watchEvent({ address: token, event, onLogs: (logs) => seen.events.push(...logs) }),
  reader.watchContractEvent({ address: token, abi, eventName: "Transfer", onLogs: (logs) => seen.contract.push(...logs) }),
  reader.watchPendingTransactions({ onTransactions: (hashes) => seen.pending.push(...hashes) }),
];
await new Promise((done) => setTimeout(done, 200));
await wait(await remote.writeContract({ address: token, abi, functionName: "transfer", args: [bob.address, 3n] }));
for (let turn = 0; turn < 100 && Object.values(seen).some((list) => list.length === 0); turn += 1) await new Promise((done) => setTimeout(done, 20));
for (const stop of stops) stop();
for (const [name, list] of Object.entries(seen)) assert.ok(list.length > 0, name);

// ---- test actions, in both modes that fit; each leaves the chain as it was.
for (const mode of ["hardhat", "anvil"]) {
  const tester = noted(createTestClient({ mode, chain: hardhat, transport }));
  const id = await tester.snapshot();
  const whale = privateKeyToAccount(generatePrivateKey()).address;
  await tester.setBalance({ address: whale, value: parseEther("2") });
  await tester.setNonce({ address: whale, nonce: 5 });
  await tester.setCode({ address: token, bytecode: "0x602a5f5260205ff3" });
  await tester.setStorageAt({ address: token, index: "0x1", value: toHex(9, { size: 32 }) });
  assert.equal(BigInt((await base.call({ to: token })).data), 42n);
  assert.equal(await base.getStorageAt({ address: token, slot: "0x1" }), toHex(9, { size: 32 }));
  await tester.impersonateAccount({ address: whale });
  const theirs = createWalletClient({ account: whale, chain: hardhat, transport });
  assert.equal((await wait(await theirs.sendTransaction({ to: bob.address, value: 1n }))).status, "success");
  assert.equal(await base.getTransactionCount({ address: whale }), 6);
  await tester.stopImpersonatingAccount({ address: whale });
  await assert.rejects(theirs.sendTransaction({ to: bob.address, value: 1n }));
  const then = await base.getBlock();
  await tester.mine({ blocks: 3, interval: 10 });
  const now = await base.getBlock();
  assert.deepEqual([now.number, now.timestamp - then.timestamp >= 20n], [then.number + 3n, true]);
  await tester.increaseTime({ seconds: 500 });
  await tester.mine({ blocks: 1 });
  assert.ok((await base.getBlock()).timestamp >= now.timestamp + 500n);
  const future = (await base.getBlock()).timestamp + 1_000n;
  await tester.setNextBlockTimestamp({ timestamp: future });
  await tester.setNextBlockBaseFeePerGas({ baseFeePerGas: parseGwei("3") });
  await tester.setCoinbase({ address: whale });
  await tester.setBlockGasLimit({ gasLimit: 25_000_000n });
  await tester.mine({ blocks: 1 });
  const set = await base.getBlock();
  assert.deepEqual([set.timestamp, set.baseFeePerGas, set.miner, set.gasLimit], [future, parseGwei("3"), whale.toLowerCase(), 25_000_000n]);
  await tester.setAutomine(false);
  assert.equal(await tester.getAutomine(), false);
  const waiting = await unlocked.sendTransaction({ to: bob.address, value: 1n });
  assert.equal((await tester.getTxpoolStatus()).pending, 1);
  assert.equal(Object.keys((await tester.getTxpoolContent()).pending).length, 1);
  assert.equal(Object.keys((await tester.inspectTxpool()).pending).length, 1);
  await tester.dropTransaction({ hash: waiting });
  assert.equal((await tester.getTxpoolStatus()).pending, 0);
  await tester.setAutomine(true);
  if (mode === "anvil") {
    // hardhat has neither.
    const { timestamp } = await base.getBlock();
    await tester.setBlockTimestampInterval({ interval: 7 });
    await tester.mine({ blocks: 1 });
    assert.equal((await base.getBlock()).timestamp, timestamp + 7n);
    await tester.removeBlockTimestampInterval();
  }
  await tester.setLoggingEnabled(false);
  await tester.setIntervalMining({ interval: 0 });
  await tester.setAutomine(true);
  await tester.revert({ id });
  assert.ok((await base.getCode({ address: token })).length > 1_000);
}
console.log(JSON.stringify({ address: token, actions: called.size }));
process.exit(0);
