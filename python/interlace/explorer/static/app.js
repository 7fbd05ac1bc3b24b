// The explorer: which page is shown for which address, the search field, and fresh blocks every two seconds.
// Invariant: an answer that arrives after the reader moved on is dropped.

import { el, heading } from "./dom.js";
import { quantity, rpc } from "./chain.js";
import { address, block, blocks, transaction } from "./pages.js";
import { economy } from "./economy.js";

const REFRESH_MS = 2000;
const place = document.getElementById("page");
const routes = { "": blocks, block, tx: transaction, address, economy };
let visit = 0;

function here() {
  const [kind = "", value = ""] = location.hash.replace(/^#\//, "").split("/");
  return { kind, value: decodeURIComponent(value) };
}

async function show(quiet = false) {
  const mine = ++visit;
  const { kind, value } = here();
  const page = routes[kind];
  for (const item of document.querySelectorAll("nav a")) {
    item.classList.toggle("here", item.dataset.page === (kind === "economy" ? "economy" : "blocks"));
  }
  let nodes;
  try {
    nodes = page ? await page(value) : heading("Not found", `There is no page ${kind}.`);
  } catch (error) {
    if (quiet) return;
    nodes = [...heading("The chain does not answer"), el("div", { class: "card error" }, error.message)];
  }
  if (mine === visit) place.replaceChildren(...nodes.filter(Boolean));
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("query").value.trim();
  if (/^0x[0-9a-f]{64}$/i.test(text)) location.hash = `#/tx/${text}`;
  else if (/^0x[0-9a-f]{40}$/i.test(text)) location.hash = `#/address/${text}`;
  else if (/^\d+$/.test(text)) location.hash = `#/block/${text}`;
  else place.replaceChildren(...heading("Not found", "Search for a block number, a transaction hash or an address.").filter(Boolean));
});

addEventListener("hashchange", () => show());
setInterval(() => {
  if (!document.hidden && (here().kind === "" || here().kind === "economy")) show(true);
}, REFRESH_MS);
rpc("eth_chainId").then((id) => { document.getElementById("chain").textContent = `chain ${quantity(id)}`; }).catch(() => {});
show();
