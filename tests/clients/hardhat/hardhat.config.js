// A project as hardhat's users have it, on a node of ours: NODE_URL says where it listens, SOLC which compiler runs (no download).
import hardhatEthers from "@nomicfoundation/hardhat-ethers";
import hardhatNetworkHelpers from "@nomicfoundation/hardhat-network-helpers";
import hardhatNodeTestRunner from "@nomicfoundation/hardhat-node-test-runner";
import hardhatViem from "@nomicfoundation/hardhat-viem";
import { defineConfig } from "hardhat/config";

const url = process.env.NODE_URL;
// The first accounts of the phrase that every developer's node funds.
const accounts = [
  "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
];

export default defineConfig({
  plugins: [hardhatEthers, hardhatNetworkHelpers, hardhatNodeTestRunner, hardhatViem],
  solidity: { version: "0.8.37", path: process.env.SOLC, preferWasm: true },
  paths: { artifacts: process.env.ARTIFACTS, cache: process.env.CACHE },
  networks: {
    unlocked: { type: "http", chainType: "l1", url },
    signing: { type: "http", chainType: "l1", url, accounts },
  },
});
