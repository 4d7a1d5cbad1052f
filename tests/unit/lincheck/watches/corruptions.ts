/** Single mistakes in what a watch shows. */
import { assertNever } from "../../../../lib/platform/assert.ts";
import type { Random } from "../../../../lib/platform/clock.ts";
import type { WatchedRun, WatchEvent, WatchNotice, WatchRecord } from "../../../../lib/lincheck/mod.ts";

/** The kinds of mistakes. */
export const CORRUPTIONS = [
  "a dropped revision",
  "a dropped event of a revision",
  "a doubled revision",
  "a doubled event",
  "two revisions in the wrong order",
  "a wrong value",
  "a wrong version",
  "a wrong revision of creation",
  "a wrong lease",
  "a wrong previous value",
  "a previous value of an older revision",
  "no previous value",
  "a put instead of a delete, or the reverse",
  "a revision in two parts",
  "a revision that is shown as the next one",
  "an invented revision",
  "another key",
] as const;
/** One of {@link CORRUPTIONS}. */
export type Corruption = typeof CORRUPTIONS[number];

type Batch = Extract<WatchNotice, { readonly kind: "events" }>;

/** A batch of a watch, with its position. */
interface Place {
  readonly record: WatchRecord;
  readonly position: number;
  readonly batch: Batch;
}

/** Returns the run with a mistake in a watch other than the first; null where none of the watches allows it. */
export function corrupted(
  run: WatchedRun,
  { kind, random }: { readonly kind: Corruption; readonly random: Random },
): WatchedRun | null {
  const changes = run.watches.slice(1).flatMap((record) =>
    record.notices.flatMap((notice, position) => {
      // What is missing at the ends of a watch, or before a reset, is not covered.
      const next = record.notices[position + 1];
      if (notice.kind !== "events" || position === 0 || next === undefined || next.kind === "reset") {
        return [];
      }
      const notices = withMistake({ record, position, batch: notice }, { kind, random });
      return notices === null ? [] : [{ record, notices }];
    })
  );
  const change = changes[Math.floor(random() * changes.length)];
  if (change === undefined) return null;
  const watches = run.watches.map((record) =>
    record === change.record ? { ...record, notices: change.notices } : record
  );
  return { ...run, watches };
}

function withMistake(
  place: Place,
  { kind, random }: { readonly kind: Corruption; readonly random: Random },
): readonly WatchNotice[] | null {
  const { record: { notices }, position, batch } = place;
  const replace = (...others: readonly WatchNotice[]): readonly WatchNotice[] =>
    notices.toSpliced(position, 1, ...others);
  const chosen = Math.floor(random() * batch.events.length);
  const event = batch.events[chosen];
  if (event === undefined) return null;
  const withEvents = (...events: readonly WatchEvent[]): readonly WatchNotice[] =>
    replace({ ...batch, events: batch.events.toSpliced(chosen, 1, ...events) });
  switch (kind) {
    case "a dropped revision":
      return replace();
    case "a dropped event of a revision":
      return batch.events.length < 2 ? null : withEvents();
    case "a doubled revision":
      return replace(batch, batch);
    case "a doubled event":
      return withEvents(event, event);
    case "two revisions in the wrong order":
      return swapped(notices, position);
    case "a put instead of a delete, or the reverse":
      return event.kind === "put"
        ? withEvents({
          kind: "delete",
          key: event.key,
          modRevision: batch.revision,
          previous: event.previous,
        })
        : null;
    case "a revision in two parts": {
      const { events } = batch;
      return events.length < 2
        ? null
        : replace({ ...batch, events: events.slice(0, 1) }, { ...batch, events: events.slice(1) });
    }
    case "a revision that is shown as the next one":
      return replace(moved(batch));
    case "an invented revision":
      return event.kind === "put" ? replace(batch, moved(batch)) : null;
    case "another key":
      return withEvents({ ...event, key: `${event.key}0` });
    case "a wrong value":
    case "a wrong version":
    case "a wrong revision of creation":
    case "a wrong lease":
    case "a wrong previous value":
    case "a previous value of an older revision":
    case "no previous value": {
      const wrong = wrongEvent(event, kind);
      return wrong === null ? null : withEvents(wrong);
    }
    default:
      return assertNever(kind);
  }
}

function swapped(notices: readonly WatchNotice[], position: number): readonly WatchNotice[] | null {
  const [one, other] = [notices[position], notices[position + 1]];
  if (one === undefined || other?.kind !== "events") return null;
  return notices.toSpliced(position, 2, other, one);
}

/** Returns a batch that says of itself that it is of the next revision. */
function moved(batch: Batch): Batch {
  const revision = batch.revision + 1;
  const events = batch.events.map((event): WatchEvent =>
    event.kind === "delete" ? { ...event, modRevision: revision } : {
      ...event,
      entry: { ...event.entry, modRevision: revision },
    }
  );
  return { ...batch, revision, events };
}

function wrongEvent(event: WatchEvent, kind: Corruption): WatchEvent | null {
  const { previous } = event;
  if (previous !== "omitted" && previous !== null) {
    if (kind === "no previous value") return { ...event, previous: null };
    if (kind === "a wrong previous value") return { ...event, previous: { ...previous, value: "wrong" } };
    if (kind === "a previous value of an older revision") {
      const modRevision = previous.modRevision - 1;
      const isPossible = previous.version > 1 && modRevision >= previous.createRevision;
      return isPossible ? { ...event, previous: { ...previous, modRevision } } : null;
    }
  }
  if (event.kind === "delete") return null;
  const { entry } = event;
  const changed = (differences: Partial<typeof entry>): WatchEvent => ({
    ...event,
    entry: { ...entry, ...differences },
  });
  switch (kind) {
    case "a wrong value":
      return changed({ value: `${entry.value}?` });
    case "a wrong version":
      return changed({ version: entry.version + 1 });
    case "a wrong revision of creation":
      return changed({ createRevision: entry.createRevision - 1 });
    case "a wrong lease":
      return changed({ leaseId: entry.leaseId === null ? 1 : null });
    default:
      return null;
  }
}
