// The explorer's amounts: exact, whatever their size. Usage: node explorer_units.mjs PATH_OF_STATIC_FOLDER
import assert from "node:assert/strict";

const { grouped, quantity, units18, ago } = await import(`${process.argv[2]}/chain.js`);
const { shorten } = await import(`${process.argv[2]}/dom.js`);
const { callName } = await import(`${process.argv[2]}/decode.js`);

assert.equal(grouped("1234567890123456789012"), "1,234,567,890,123,456,789,012");
assert.equal(grouped(7), "7");
assert.equal(units18("1"), "0.000000000000000001");
assert.equal(units18("1234500000000000000000"), "1,234.5");
assert.equal(units18((2n ** 256n - 1n).toString()).replaceAll(",", "").replace(".", ""), (2n ** 256n - 1n).toString());
assert.equal(units18("-5000000000000000000"), "-5");
assert.equal(units18("0"), "0");
assert.equal(quantity(undefined), 0n);
assert.match(ago(`0x${(Math.floor(Date.now() / 1000) + 60).toString(16)}`), /^in (59|60) s$/);
assert.equal(shorten(`0x${"ab".repeat(20)}`), "0xabababab…ababab");
assert.equal(callName("0x", { functions: {} }), null);
assert.equal(callName("0x12345678ff", { functions: { "0x12345678": "commit" } }), "commit");
assert.equal(callName("0x87654321", { functions: {} }), "0x87654321");
