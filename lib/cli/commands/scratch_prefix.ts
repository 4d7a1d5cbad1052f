/** Commands that work on a store under a prefix of their own: with how many clients, and what they leave behind. */
import { KvraftError } from "../../client/errors.ts";
import { MAX_PREFIX_BYTES } from "../../loadgen/mod.ts";
import type { Random } from "../../platform/clock.ts";
import type { CommandContext, StoreClient } from "../command.ts";
import { UsageError } from "../errors.ts";
import { bytesOfWord, escapeBytes } from "../text.ts";

/** Clients that connect at the same time: more would only wait for each other until their time is up. */
const DIALS = 64;
const PREFIX_LETTERS = 8;
const KEYS_OF_ONE_TRANSACTION = 100;
/** Read at once, and then removed by transactions that are under way together. */
const KEYS_OF_ONE_PAGE = 1_000;
/** How long each attempt to remove keys may take. */
const ATTEMPT_TIMEOUT_MS = 5_000;

/** The prefix that was asked for, else one by chance: `check/3k9x0fqa/`. Throws {@link UsageError}. */
export function scratchPrefix(
  word: string | undefined,
  { command, random }: { readonly command: string; readonly random: Random },
): Uint8Array {
  const letters = Array.from({ length: PREFIX_LETTERS }, () => Math.floor(random() * 36).toString(36));
  const prefix = bytesOfWord(word ?? `${command}/${letters.join("")}/`);
  if (prefix.length <= MAX_PREFIX_BYTES) return prefix;
  throw new UsageError(`--prefix has ${prefix.length} bytes; at most ${MAX_PREFIX_BYTES} are allowed.`);
}

/** Throws {@link UsageError} when there are keys already. */
export async function requireUnused(
  client: StoreClient,
  { prefix, timeoutMs }: { readonly prefix: Uint8Array; readonly timeoutMs: number },
  context: CommandContext,
): Promise<void> {
  const signal = context.signal === null ? {} : { signal: context.signal };
  const { entries: [entry] } = await client.list({ prefix, limit: 1, timeoutMs, ...signal });
  if (entry === undefined) return;
  throw new UsageError(
    `--prefix: there are keys already, ${
      escapeBytes(entry.key)
    } for one. Choose a prefix that no key begins with, ` +
      "or leave it to chance.",
  );
}

/** So many clients, each with connections of its own; `owner` closes them. Rejects when one can't be connected. */
export async function connectAll(
  count: number,
  { context, owner }: { readonly context: CommandContext; readonly owner: AsyncDisposableStack },
): Promise<readonly StoreClient[]> {
  const clients: StoreClient[] = [];
  while (clients.length < count) {
    const dials = Array.from({ length: Math.min(DIALS, count - clients.length) }, () => context.connect());
    const attempts = await Promise.allSettled(dials);
    const connected = attempts.flatMap((attempt) => attempt.status === "fulfilled" ? [attempt.value] : []);
    for (const client of connected) owner.defer(() => client.close());
    clients.push(...connected);
    const failure = attempts.find((attempt) => attempt.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }
  return clients;
}

/** Removes the keys as far as that is possible within `forMs`; whether all are gone. */
export async function removeKeys(
  client: StoreClient,
  prefix: Uint8Array,
  { context, forMs }: { readonly context: CommandContext; readonly forMs: number },
): Promise<boolean> {
  const { clock } = context.environment;
  const until = clock.now() + forMs;
  try {
    while (true) {
      const timeoutMs = Math.max(1, Math.min(ATTEMPT_TIMEOUT_MS, Math.ceil(until - clock.now())));
      const { entries } = await client.list({ prefix, limit: KEYS_OF_ONE_PAGE, timeoutMs });
      if (entries.length === 0) return true;
      if (clock.now() >= until) return false;
      const mutations = entries.map(({ key }) => ({ kind: "delete", key } as const));
      const parts = Array.from(
        { length: Math.ceil(mutations.length / KEYS_OF_ONE_TRANSACTION) },
        (_, part) => mutations.slice(part * KEYS_OF_ONE_TRANSACTION, (part + 1) * KEYS_OF_ONE_TRANSACTION),
      );
      await Promise.all(parts.map((part) => client.transaction({ mutations: part, timeoutMs })));
    }
  } catch (error) {
    if (error instanceof KvraftError) return false;
    throw error;
  }
}
