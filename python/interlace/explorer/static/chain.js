// Reads the node through this server's /rpc, which passes on reading methods only, and turns quantities into text.
// Invariant: amounts are BigInt throughout; no amount passes through a float.

let nextId = 1;

/** Send JSON-RPC calls [[method, ...params], ...] as one batch and return their results in order. */
export async function batch(calls) {
  if (calls.length === 0) return [];
  const body = calls.map(([method, ...params]) => ({ jsonrpc: "2.0", id: nextId++, method, params }));
  const answer = await fetch("/rpc", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const replies = await answer.json();
  if (!Array.isArray(replies)) throw new Error(replies.error?.message ?? `the node answered ${answer.status}`);
  const byId = new Map(replies.map((reply) => [reply.id, reply]));
  return body.map((call) => {
    const reply = byId.get(call.id);
    if (!reply || reply.error) throw new Error(reply?.error?.message ?? `${call.method}: no answer`);
    return reply.result;
  });
}

export async function rpc(method, ...params) {
  return (await batch([[method, ...params]]))[0];
}

export async function api(path) {
  const answer = await fetch(`/api/${path}`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error?.message ?? `the explorer answered ${answer.status}`);
  return body;
}

export const quantity = (hex) => BigInt(hex ?? "0x0");

export const toHex = (number) => `0x${BigInt(number).toString(16)}`;

/** Group the digits of a whole number. */
export function grouped(value) {
  return BigInt(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** An amount with 18 decimals as exact text, trailing zeros left out. */
export function units18(value, decimals = 18) {
  const amount = BigInt(value);
  const sign = amount < 0n ? "-" : "";
  const digits = (amount < 0n ? -amount : amount).toString().padStart(decimals + 1, "0");
  const fraction = digits.slice(-decimals).replace(/0+$/, "");
  return sign + grouped(digits.slice(0, -decimals)) + (fraction ? `.${fraction}` : "");
}

/** A block's time, and how long ago it was. */
export function when(hexSeconds) {
  const seconds = Number(quantity(hexSeconds));
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds} s` : date.toISOString().replace("T", " ").replace(".000Z", " UTC");
}

export function ago(hexSeconds) {
  const seconds = Math.round(Date.now() / 1000 - Number(quantity(hexSeconds)));
  if (seconds < 0) return `in ${-seconds} s`;
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86400)} d ago`;
}
