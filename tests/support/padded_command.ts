/** Commands with an unknown last element, as a newer version may send. */
import { decode, encode } from "@std/msgpack";
import { encodeCommand } from "../../lib/protocol/command.ts";
import type { Command } from "../../lib/kv/mod.ts";

/** Bytes of the head of a long byte string. */
const HEAD_BYTES = 5;

/** Number of known elements of a transaction; the last, `returnCurrent`, is optional. */
const TRANSACTION_ELEMENTS = 5;

/** Returns the command, padded by an unknown element to exactly this many bytes. */
export function paddedCommand(command: Command, bytes: number): Uint8Array {
  const elements = decode(encodeCommand(command));
  if (!Array.isArray(elements)) throw new TypeError("a command is an array");
  if (command.kind === "transaction" && elements.length === TRANSACTION_ELEMENTS - 1) elements.push(false);
  const padding = new Uint8Array(bytes - encode(elements).length - HEAD_BYTES);
  return encode([...elements, padding]);
}
