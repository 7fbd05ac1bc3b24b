// A purse on a running node: deployed and used through viem and through ethers, with hardhat's network helpers.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import hre from "hardhat";
import { parseEther } from "viem";

const DAY = 86_400;
const { ethers, networkHelpers, networkName, viem } = await hre.network.getOrCreate();

describe("Purse through viem", () => {
  async function deploy() {
    const [alice, bob] = await viem.getWalletClients();
    return { purse: await viem.deployContract("Purse", [BigInt(DAY)]), alice, bob, reader: await viem.getPublicClient() };
  }

  it("keeps coins until they open", async () => {
    const { purse, alice, bob, reader } = await networkHelpers.loadFixture(deploy);
    const hash = await purse.write.deposit({ value: parseEther("2"), account: bob.account });
    const receipt = await reader.waitForTransactionReceipt({ hash });
    assert.equal(receipt.status, "success");
    const [event] = await purse.getEvents.Deposited({ owner: bob.account.address });
    assert.equal(event.args.amount, parseEther("2"));
    const block = await reader.getBlock({ blockNumber: receipt.blockNumber });
    assert.equal(event.args.opensAt, block.timestamp + BigInt(DAY));

    await assert.rejects(purse.write.withdraw({ account: bob.account }), /TooEarly/);
    await assert.rejects(purse.read.deposits(["0x12"]), /Address "0x12" is invalid/);
    await assert.rejects(purse.write.withdraw({ account: alice.account }), /Nothing\(address owner\)/);
    await assert.rejects(purse.write.deposit({ account: alice.account }), /no coins/);

    await networkHelpers.time.increase(DAY);
    const before = await reader.getBalance({ address: bob.account.address });
    const paid = await reader.waitForTransactionReceipt({ hash: await purse.write.withdraw({ account: bob.account }) });
    const after = await reader.getBalance({ address: bob.account.address });
    assert.equal(after - before, parseEther("2") - paid.gasUsed * paid.effectiveGasPrice);
    assert.deepEqual(await purse.read.deposits([bob.account.address]), [0n, 0n]);
  });

  it("starts every test from the fixture", async () => {
    const { purse, bob, reader } = await networkHelpers.loadFixture(deploy);
    assert.deepEqual(await purse.read.deposits([bob.account.address]), [0n, 0n]);
    assert.equal(await reader.getBalance({ address: purse.address }), 0n);
    assert.equal(await purse.read.delay(), BigInt(DAY));
  });

  it("takes coins without a call", async () => {
    const { purse, alice, reader } = await networkHelpers.loadFixture(deploy);
    const hash = await alice.sendTransaction({ to: purse.address, value: 7n });
    await reader.waitForTransactionReceipt({ hash });
    assert.equal((await purse.read.deposits([alice.account.address]))[0], 7n);
  });
});

describe("Purse through ethers", () => {
  it("is deployed and used by signers", async () => {
    const [alice, bob] = await ethers.getSigners();
    const purse = await ethers.deployContract("Purse", [0], alice);
    await purse.waitForDeployment();
    const receipt = await (await purse.connect(bob).deposit({ value: 5n })).wait();
    const [log] = receipt.logs.map((one) => purse.interface.parseLog(one));
    assert.equal(log.name, "Deposited");
    assert.deepEqual([log.args.owner, log.args.amount], [bob.address, 5n]);
    assert.equal(await purse.connect(bob).withdraw.staticCall(), 5n);
    const nothing = purse.interface.encodeErrorResult("Nothing", [alice.address]);
    await assert.rejects(purse.connect(alice).withdraw(), (error) => error.data === nothing);
    await (await purse.connect(bob).withdraw()).wait();
    assert.equal(await ethers.provider.getBalance(purse), 0n);
    assert.equal((await purse.queryFilter(purse.filters.Withdrawn(bob.address))).length, 1);
  });
});

describe("network helpers", () => {
  const whale = "0x28C6c06298d514Db089934071355E5743bf21d60";

  it("set accounts", async () => {
    const reader = await viem.getPublicClient();
    await networkHelpers.setBalance(whale, parseEther("3"));
    await networkHelpers.setNonce(whale, 9);
    await networkHelpers.setCode(whale, "0x602a5f5260205ff3");
    await networkHelpers.setStorageAt(whale, 1n, 77n);
    assert.equal(await reader.getBalance({ address: whale }), parseEther("3"));
    assert.equal(await reader.getTransactionCount({ address: whale }), 9);
    assert.equal(await networkHelpers.getStorageAt(whale, 1n), `0x${(77).toString(16).padStart(64, "0")}`);
    assert.equal(BigInt((await reader.call({ to: whale })).data), 42n);
  });

  // With keys of its own, hardhat asks the node to sign for nobody else.
  it("send for anyone", { skip: networkName === "signing" }, async () => {
    const reader = await viem.getPublicClient();
    const holder = "0x00000000000000000000000000000000c0ffee00";
    await networkHelpers.impersonateAccount(holder);
    await networkHelpers.setBalance(holder, parseEther("1"));
    const wallet = await viem.getWalletClient(holder);
    const hash = await wallet.sendTransaction({ to: whale, value: 1n });
    assert.equal((await reader.waitForTransactionReceipt({ hash })).from, holder);
    await networkHelpers.stopImpersonatingAccount(holder);
    await assert.rejects(wallet.sendTransaction({ to: whale, value: 1n }), /unknown account/i);
  });

  it("move blocks and time", async () => {
    const start = await networkHelpers.time.latestBlock();
    await networkHelpers.mine(5);
    await networkHelpers.mineUpTo(start + 9);
    assert.equal(await networkHelpers.time.latestBlock(), start + 9);
    const now = await networkHelpers.time.latest();
    await networkHelpers.time.increaseTo(now + 1_000);
    assert.equal(await networkHelpers.time.latest(), now + 1_000);
    await networkHelpers.time.setNextBlockTimestamp(now + 5_000);
    await networkHelpers.mine();
    assert.equal(await networkHelpers.time.latest(), now + 5_000);
    await networkHelpers.setNextBlockBaseFeePerGas(12_345n);
    await networkHelpers.setPrevRandao(99n);
    await networkHelpers.setCoinbase(whale);
    await networkHelpers.setBlockGasLimit(20_000_000);
    await networkHelpers.mine();
    const block = await (await viem.getPublicClient()).getBlock();
    assert.deepEqual(
      [block.baseFeePerGas, BigInt(block.mixHash), block.miner, block.gasLimit],
      [12_345n, 99n, whale.toLowerCase(), 20_000_000n],
    );
  });

  it("take a snapshot and go back", async () => {
    const before = await networkHelpers.time.latestBlock();
    const snapshot = await networkHelpers.takeSnapshot();
    await networkHelpers.mine(3);
    await snapshot.restore();
    assert.equal(await networkHelpers.time.latestBlock(), before);
    await networkHelpers.mine(2);
    await snapshot.restore();
    assert.equal(await networkHelpers.time.latestBlock(), before);
    await networkHelpers.clearSnapshots();
  });

  it("drop what waits", async () => {
    const provider = ethers.provider;
    await provider.send("evm_setAutomine", [false]);
    const [alice] = await viem.getWalletClients();
    const hash = await alice.sendTransaction({ to: whale, value: 1n });
    await networkHelpers.dropTransaction(hash);
    await provider.send("evm_setAutomine", [true]);
    assert.equal(await provider.getTransaction(hash), null);
  });
});
