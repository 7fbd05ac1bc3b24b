// Names for addresses, functions and events of the economy's contracts, and their arguments where each takes one word.
// Invariant: an argument is shown decoded only if its type is a single static word; otherwise the raw bytes are shown.
// What it does not do: contracts of others are not known here and stay hexadecimal.

import { el, link, mono } from "./dom.js";
import { api, grouped } from "./chain.js";

let known = null;

/** Load the names once; without an economy the page works with plain hexadecimal. */
export async function names() {
  known ??= api("names").catch(() => ({ addresses: {}, events: {}, functions: {} }));
  return known;
}

export function account(address, book) {
  if (!address) return null;
  const name = book.addresses[address.toLowerCase()];
  return name ? link("address", address, name) : link("address", address);
}

function word(type, hex, book) {
  if (type === "address") return account(`0x${hex.slice(24)}`, book);
  if (/^uint\d*$/.test(type)) return grouped(BigInt(`0x${hex}`));
  if (/^int\d*$/.test(type)) return BigInt.asIntN(256, BigInt(`0x${hex}`)).toString();
  if (type === "bool") return BigInt(`0x${hex}`) === 1n ? "true" : "false";
  if (/^bytes\d+$/.test(type)) return mono(`0x${hex.slice(0, 2 * Number(type.slice(5)))}`);
  return null;
}

/** Facts of one log: name and arguments where known, topics and data otherwise. */
export function logFacts(log, book) {
  const event = book.events[log.topics[0]];
  const indexed = event ? event.inputs.filter((input) => input.indexed) : [];
  const plain = event ? event.inputs.filter((input) => !input.indexed) : [];
  const data = log.data.slice(2);
  const fits = event && indexed.length === log.topics.length - 1 && data.length === 64 * plain.length;
  if (!fits) {
    return { title: event ? event.name : "event", pairs: [...log.topics.map((t, i) => [`topic ${i}`, mono(t)]), ["data", mono(log.data)]] };
  }
  let topic = 1;
  let offset = 0;
  const pairs = event.inputs.map((input) => {
    const hex = input.indexed ? log.topics[topic++].slice(2) : data.slice(offset, (offset += 64));
    return [input.name, word(input.type, hex, book) ?? mono(`0x${hex}`)];
  });
  return { title: event.name, pairs };
}

/** The function a transaction calls, where it is known. */
export function callName(input, book) {
  if (!input || input === "0x") return null;
  return book.functions[input.slice(0, 10)] ?? input.slice(0, 10);
}

export function bytes(hex) {
  if (!hex || hex === "0x") return el("span", { class: "note" }, "none");
  const shown = hex.length > 2050 ? `${hex.slice(0, 2050)}… (${(hex.length - 2) / 2} bytes)` : hex;
  return el("pre", { class: "mono" }, shown);
}
