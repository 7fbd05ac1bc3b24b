// The page about the economy: who was paid what by the router, the assets and their lineage, programs, settlements.
// Invariant: the figures are the server's sums over the chain's events; nothing is added up here but widths.

import { el, heading, link, pill, table, tiles } from "./dom.js";
import { api, grouped, units18 } from "./chain.js";
import { account, names } from "./decode.js";

function split(parties) {
  const bar = el("div", { class: "split" });
  parties.forEach((party, i) => {
    const part = el("i", { class: `s${i % 6}`, title: `${party.name}: ${party.bp / 100} %` });
    part.style.width = `${party.bp / 100}%`;
    bar.append(part);
  });
  const rows = parties.map((party, i) => [
    el("span", {}, el("i", { class: `dot s${i % 6}` }), party.name), `${party.bp / 100} %`, units18(party.paid),
  ]);
  return [bar, table(["Party", "Share#", "Paid so far (credits)#"], rows)];
}

/** Classes as a forest: what is derived from a data set stands below it. */
function lineage(classes, book) {
  const byId = new Map(classes.map((asset) => [asset.id, asset]));
  const roots = classes.filter((asset) => !asset.parents.some((parent) => byId.has(parent.id)));
  const seen = new Set();
  const branch = (asset, bp) => {
    const again = seen.has(asset.id);
    seen.add(asset.id);
    const below = again ? [] : classes.filter((other) => other.parents.some((parent) => parent.id === asset.id));
    const share = bp === null ? null : pill(`${bp / 100} % of its data part go up`, "warm");
    return el("li", {},
      pill(asset.kind, asset.kind === "model" ? "" : "warm"), " ", el("b", {}, asset.name), ` #${asset.id} `,
      "by ", account(asset.creator, book), " ", share,
      below.length ? el("ul", {}, below.map((child) => branch(child, child.parents.find((p) => p.id === asset.id).bp))) : null);
  };
  return el("div", { class: "card" }, el("ul", { class: "lineage" }, roots.map((asset) => branch(asset, null))));
}

export async function economy() {
  const [facts, book] = await Promise.all([api("economy"), names()]);
  if (!facts.present) return heading("Economy", "This chain runs without the contracts of the economy.");
  const classes = facts.classes.map((asset) => [
    asset.id, pill(asset.kind, asset.kind === "model" ? "" : "warm"), asset.name, account(asset.creator, book),
    el("span", { class: "mono", title: asset.content }, `${asset.content.slice(0, 14)}…`), units18(asset.revenue),
  ]);
  const programs = facts.programs.map((program) => [
    el("span", { class: "mono", title: program.id }, `${program.id.slice(0, 18)}…`), `#${program.class_id}`, grouped(program.units),
  ]);
  const settlements = facts.settlements.map((batch) => [
    link("tx", batch.transaction, `${batch.root.slice(0, 14)}…`), account(batch.node, book), batch.leaves, pill(batch.state, batch.state === "pending" ? "warm" : ""),
    units18(batch.paid),
  ]);
  const none = (text) => el("p", { class: "note" }, text);
  return [
    ...heading("Economy", `Amounts in ${facts.token.name} (${facts.token.symbol}), 18 decimals, exact.`),
    tiles([
      ["credits in circulation", units18(facts.token.supply)], ["paid through the router", units18(facts.routed)],
      ["asset classes", grouped(facts.class_count)], ["settled calls", grouped(facts.settled_calls)],
    ]),
    el("h2", {}, "The split of every verified call"), ...split(facts.split),
    el("h2", {}, "Assets"),
    classes.length ? table(["Class", "Kind", "Name", "Creator", "Content", "Revenue#"], classes) : none("No asset yet."),
    el("h2", {}, "Lineage"), classes.length ? lineage(facts.classes, book) : none("No asset yet."),
    el("h2", {}, "Programs"), programs.length ? table(["Program", "Class", "Units per call#"], programs) : none("No program yet."),
    el("h2", {}, "Settlements"),
    settlements.length ? table(["Root", "Node", "Leaves#", "State", "Released#"], settlements) : none("Nothing was settled yet."),
  ];
}
