/** Turns the messages of a watch stream into texts that don't depend on how events were put into messages. */
import type { Outcome } from "../../support/etcd/driver.ts";
import type { Normal } from "./normal.ts";

const METHOD = "Watch/Watch";

/** A part of a WatchResponse. */
interface Message {
  readonly header?: { readonly revision?: string };
  readonly watch_id?: string;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly fragment?: boolean;
  readonly events?: readonly { readonly kv?: { readonly mod_revision?: string } }[];
}

/**
 * Returns a text: for each watch, its control messages and events in order, then the end of the stream. Between two
 * watches there is no order.
 */
export function watchedText(outcomes: readonly Outcome[], normal: Normal): string {
  const texts = new Map<string, string[]>();
  const last = new Map<string, Message>();
  for (const body of outcomes.flatMap(({ bodies }) => bodies)) {
    const message: Message = body;
    const id = groupOf(message);
    const of = texts.get(id) ?? [];
    texts.set(id, of);
    if (message.events === undefined) of.push(normal.body(METHOD, body));
    else {
      of.push(...message.events.map((event) => normal.body(METHOD, event)));
      of.push(...problemsOf(message, last.get(id)));
    }
    last.set(id, message);
  }
  const end = outcomes.find(({ hasEnded }) => hasEnded);
  return [
    ...[...texts].toSorted(([a], [b]) => a < b ? -1 : 1).map(([id, of]) => `watch ${id}: ${of.join("; ")}`),
    ...(end === undefined ? [] : [`ended with ${end.code} ${end.message}`]),
  ].join("\n");
}

/** Returns the id of the watch of a message. One that is created and refused has none: -1, which another one may have. */
function groupOf({ watch_id = "0", created = false, canceled = false }: Message): string {
  return created && canceled ? "refused" : watch_id;
}

/** Returns the broken rules of a message with events. */
function problemsOf(message: Message, before: Message | undefined): readonly string[] {
  const revisions = (message.events ?? []).map(({ kv }) => Number(kv?.mod_revision ?? 0));
  const ofHeader = Number(message.header?.revision ?? 0);
  const lastBefore = Number(before?.events?.at(-1)?.kv?.mod_revision ?? 0);
  const problems: string[] = [];
  if (revisions.some((revision) => revision > ofHeader)) problems.push("NEWER THAN ITS HEADER");
  if (revisions.some((revision, at) => revision < (revisions[at - 1] ?? 0))) problems.push("NOT IN ORDER");
  if (revisions[0] === lastBefore && before?.fragment !== true) problems.push("A SPLIT REVISION");
  return problems;
}
