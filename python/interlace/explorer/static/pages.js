// The pages about the chain itself: blocks, one block, one transaction, one account.
// Invariant: each page is a function of the chain's answers; it returns nodes and keeps nothing.

import { el, facts, heading, link, mono, pill, table, tiles } from "./dom.js";
import { ago, batch, grouped, quantity, rpc, toHex, units18, when } from "./chain.js";
import { account, bytes, callName, logFacts, names } from "./decode.js";

const BLOCKS_SHOWN = 20;

function missing(what) {
  return [...heading("Not found"), el("div", { class: "card error" }, what)];
}

export async function blocks() {
  const [tip, client, gasPrice] = await batch([["eth_blockNumber"], ["web3_clientVersion"], ["eth_gasPrice"]]);
  const last = Number(quantity(tip));
  const numbers = Array.from({ length: Math.min(BLOCKS_SHOWN, last + 1) }, (_, i) => last - i);
  const found = await batch(numbers.map((number) => ["eth_getBlockByNumber", toHex(number), false]));
  const rows = found.filter(Boolean).map((block) => [
    link("block", quantity(block.number).toString(), grouped(quantity(block.number))),
    el("span", { title: when(block.timestamp) }, ago(block.timestamp)),
    block.transactions.length,
    grouped(quantity(block.gasUsed)),
    link("block", quantity(block.number).toString(), `${block.hash.slice(0, 18)}…`),
  ]);
  return [
    ...heading("Latest blocks", client),
    tiles([
      ["blocks", grouped(last)],
      ["gas price (gwei)", units18(quantity(gasPrice), 9)],
      ["last block", ago(found[0].timestamp)],
      ["transactions shown", rows.reduce((sum, row) => sum + row[2], 0)],
    ]),
    table(["Block", "Age", "Transactions#", "Gas used#", "Hash"], rows),
  ];
}

export async function block(id) {
  const byHash = /^0x[0-9a-f]{64}$/i.test(id);
  if (!byHash && !/^\d{1,18}$/.test(id)) return missing(`${id} is no block number`);
  const [found, book] = await Promise.all([
    byHash ? rpc("eth_getBlockByHash", id, true) : rpc("eth_getBlockByNumber", toHex(id), true),
    names(),
  ]);
  if (!found) return missing(`There is no block ${id} yet.`);
  const number = quantity(found.number);
  const around = el("span", {},
    number > 0n ? link("block", (number - 1n).toString(), "← before") : "", " · ", link("block", (number + 1n).toString(), "after →"));
  const rows = found.transactions.map((tx) => [
    link("tx", tx.hash), account(tx.from, book), tx.to ? account(tx.to, book) : pill("new contract", "warm"),
    mono(callName(tx.input, book) ?? "transfer"), units18(quantity(tx.value)),
  ]);
  return [
    ...heading(`Block ${grouped(number)}`),
    el("p", { class: "note" }, around),
    facts([
      ["hash", mono(found.hash)], ["parent", mono(found.parentHash)], ["time", `${when(found.timestamp)} (${ago(found.timestamp)})`],
      ["gas used", `${grouped(quantity(found.gasUsed))} of ${grouped(quantity(found.gasLimit))}`],
      ["base fee (gwei)", found.baseFeePerGas && units18(quantity(found.baseFeePerGas), 9)],
      ["fee recipient", account(found.miner, book)], ["state root", mono(found.stateRoot)],
      ["size", `${grouped(quantity(found.size))} bytes`],
    ]),
    el("h2", {}, `Transactions (${rows.length})`),
    rows.length ? table(["Hash", "From", "To", "Call", "Value#"], rows) : el("p", { class: "note" }, "none"),
  ];
}

function log(entry, book) {
  const { title, pairs } = logFacts(entry, book);
  const lines = pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("div", { class: "log" }, el("div", {}, pill(title), " from ", account(entry.address, book)), el("dl", {}, lines));
}

export async function transaction(hash) {
  if (!/^0x[0-9a-f]{64}$/i.test(hash)) return missing(`${hash} is no transaction hash`);
  const [[tx, receipt], book] = await Promise.all([
    batch([["eth_getTransactionByHash", hash], ["eth_getTransactionReceipt", hash]]), names(),
  ]);
  if (!tx) return missing(`No transaction ${hash} is known.`);
  const status = receipt ? (quantity(receipt.status) === 1n ? pill("success") : pill("reverted", "bad")) : pill("waiting", "warm");
  const logs = receipt?.logs ?? [];
  return [
    ...heading("Transaction"),
    facts([
      ["hash", mono(tx.hash)], ["status", status],
      ["block", tx.blockNumber && link("block", quantity(tx.blockNumber).toString(), grouped(quantity(tx.blockNumber)))],
      ["from", account(tx.from, book)], ["to", tx.to && account(tx.to, book)],
      ["contract made", receipt?.contractAddress && account(receipt.contractAddress, book)],
      ["call", mono(callName(tx.input, book) ?? "transfer")], ["value", units18(quantity(tx.value))],
      ["nonce", quantity(tx.nonce).toString()], ["type", quantity(tx.type).toString()],
      ["gas used", receipt && `${grouped(quantity(receipt.gasUsed))} of ${grouped(quantity(tx.gas))}`],
      ["fee", receipt && units18(quantity(receipt.gasUsed) * quantity(receipt.effectiveGasPrice))],
      ["input", bytes(tx.input)],
    ]),
    el("h2", {}, `Logs (${logs.length})`),
    logs.length ? el("div", { class: "card" }, logs.map((entry) => log(entry, book))) : el("p", { class: "note" }, "none"),
  ];
}

export async function address(value) {
  if (!/^0x[0-9a-f]{40}$/i.test(value)) return missing(`${value} is no address`);
  const [[balance, nonce, code], book] = await Promise.all([
    batch([["eth_getBalance", value, "latest"], ["eth_getTransactionCount", value, "latest"], ["eth_getCode", value, "latest"]]),
    names(),
  ]);
  const name = book.addresses[value.toLowerCase()];
  return [
    ...heading(name ?? "Account"),
    facts([
      ["address", mono(value)], ["kind", code === "0x" ? "account with a key" : `contract of ${grouped((code.length - 2) / 2)} bytes`],
      ["native balance", units18(quantity(balance))], ["transactions sent", grouped(quantity(nonce))],
      ["code", code === "0x" ? null : bytes(code)],
    ]),
  ];
}
