/** Lines of JSON, as `export` writes them. */
import { readLines } from "../input.ts";
import { readPair } from "../json.ts";
import { FormatError, type Item } from "./items.ts";

/** A line that is not a key with its value. */
export class LineError extends FormatError {
  /** @param number The number of the line, from 1. */
  constructor(readonly number: number, reason: string) {
    super(`line ${number}: ${reason}`);
  }
}

/** Reads the lines of a stream; those of the first `skipped` ones are not looked at. Throws {@link LineError}. */
export async function* readNdjson(stream: AsyncIterable<Uint8Array>, skipped: number): AsyncGenerator<Item> {
  let number = 0;
  for await (const line of readLines(stream)) {
    number += 1;
    if (number <= skipped) continue;
    if (line.kind === "tooLong") throw new LineError(number, "it is too long");
    const read = readPair(line.bytes);
    if (read.kind === "bad") throw new LineError(number, read.reason);
    if (read.kind === "pair") yield { kind: "pair", pair: read.pair, number, loses: null };
  }
}
