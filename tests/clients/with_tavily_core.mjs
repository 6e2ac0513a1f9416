// Tavily's client for JavaScript, asked by tests/support/foreign.py: a line of JSON in, a line of JSON out.

import { createInterface } from "node:readline";
import { tavily } from "@tavily/core";

console.warn = () => {}; // it warns of methods that will go

const plain = (error) => ({ type: error.name, message: error.message });

process.stdout.write("\n");
for await (const line of createInterface({ input: process.stdin })) {
  const { call, arguments: { base, key, subject, options } } = JSON.parse(line);
  let answer;
  try {
    const client = tavily({ apiKey: key, apiBaseURL: base });
    let value = await client[call](subject, options);
    if (options?.stream) value = (await Array.fromAsync(value)).join("");
    answer = { value };
  } catch (error) {
    answer = { error: plain(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
