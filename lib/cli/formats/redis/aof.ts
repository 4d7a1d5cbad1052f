/**
 * The append-only file of Redis: an RDB file or nothing, and then every command that has changed the data set. Since a
 * later command can change any key, the state is held until the end of the input, within {@link MAX_STATE_BYTES}; so
 * nothing of a damaged file is taken.
 */
import type { ByteReader } from "../byte_reader.ts";
import { FormatError } from "../items.ts";
import { DataSet } from "./data_set.ts";
import { applyCommand } from "./commands.ts";
import { type RdbKey, readRdb } from "./rdb.ts";
import { readCommands } from "./resp.ts";

/** The beginning of an RDB file, as Redis and Valkey write it. */
const RDB_BEGINNINGS = ["REDIS", "VALKE"];
/** Most bytes of one transaction, which is held until its EXEC, with an estimate of what a word takes beside its bytes. */
const MAX_TRANSACTION_BYTES = 268_435_456;
const WORD_BYTES = 128;

/**
 * Reads the whole file, and yields the keys that are left at its end. Throws {@link FormatError}, also for a transaction of more
 * than `maxTransactionBytes`.
 */
export async function* readAof(
  reader: ByteReader,
  nowMs: number,
  maxTransactionBytes = MAX_TRANSACTION_BYTES,
): AsyncGenerator<RdbKey> {
  const data = new DataSet();
  if (RDB_BEGINNINGS.includes(new TextDecoder().decode(await reader.peek(5)))) {
    for await (const key of readRdb(reader)) data.load(key);
  }
  let number = 0;
  let transaction: (readonly Uint8Array[])[] | null = null;
  let transactionBytes = 0;
  const apply = (words: readonly Uint8Array[]): void => {
    try {
      applyCommand(data, words, nowMs);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      throw new FormatError(`command ${number}, before byte ${reader.offset}: ${error.message}`);
    }
  };
  for await (const words of readCommands(reader)) {
    number += 1;
    const name = new TextDecoder().decode(words[0]).toUpperCase();
    if (name === "MULTI") {
      transaction = [];
      transactionBytes = 0;
    } else if (name === "EXEC") {
      for (const queued of transaction ?? []) apply(queued);
      transaction = null;
    } else if (transaction === null) {
      apply(words);
    } else {
      transaction.push(words);
      for (const { length } of words) transactionBytes += WORD_BYTES + length;
      if (transactionBytes > maxTransactionBytes) {
        throw new FormatError(
          `command ${number}, before byte ${reader.offset}: its transaction has more than ${maxTransactionBytes} bytes`,
        );
      }
    }
  }
  if (transaction !== null) throw new FormatError("it is cut off: its last transaction has no EXEC");
  yield* data.keys();
}
