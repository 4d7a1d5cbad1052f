/** Whether a reset shows every key of its watch, as it was as of the reset's revision. */
import { hasKey } from "../transactions/transaction.ts";
import { type Findings, keyPhrase, type Phrase, watchPhrase } from "./findings.ts";
import type { WatchedRun, WatchNotice } from "./record.ts";
import type { KeyStates } from "./states.ts";

/** Options of {@link checkResets}. */
export interface ResetOptions {
  readonly states: KeyStates;
  readonly findings: Findings;
}

/** Checks all resets of a run. The entries themselves are compared as statements about their revisions. */
export function checkResets({ watches }: WatchedRun, options: ResetOptions): void {
  for (const [watch, { notices, keys }] of watches.entries()) {
    for (const notice of notices) {
      if (notice.kind !== "reset") continue;
      const shown = new Map(notice.entries.map(({ key, modRevision }) => [key, modRevision]));
      for (const key of options.states.keys) {
        if (hasKey(keys, key)) {
          checkKey(key, { watch, notice, modRevision: shown.get(key) ?? null, ...options });
        }
      }
    }
  }
}

function checkKey(
  key: string,
  { watch, notice: { revision }, modRevision, states, findings }: ResetOptions & {
    readonly watch: number;
    readonly notice: WatchNotice;
    /** The revision of the last change that the reset shows; null: it does not have the key. */
    readonly modRevision: number | null;
  },
): void {
  const state = states.at(key, revision);
  if (state === null) return;
  const find = (...sentence: readonly Phrase[]): void =>
    findings.add({
      rule: "reset",
      revision,
      key,
      sentence: [
        watchPhrase(watch),
        ` has a reset at revision ${revision} in which `,
        keyPhrase(key),
        ...sentence,
      ],
    });
  if (modRevision === null) {
    if (state.entry !== null && state.isCurrent) {
      find(` is missing; it exists since revision ${state.revision}.`);
    }
  } else if (state.revision > modRevision) {
    find(` is as of revision ${modRevision}; it was changed at revision ${state.revision}.`);
  }
}
