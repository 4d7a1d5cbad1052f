/** Whether each watch shows every change that it covers, as the other watches and the answers to writes say it was. */
import { agree, type Cell, type Claim, entryAfterCell, type Sighting } from "./changes.ts";
import type { Coverage } from "./coverage.ts";
import type { KnownEntry } from "./effects.ts";
import { type Findings, keyPhrase, operationPhrase, type Phrase, watchPhrase } from "./findings.ts";
import { passes, type WatchedRun, type WatchEvent } from "./record.ts";

/** Checks the changes of one key in one revision. */
export class Agreement {
  readonly #run: WatchedRun;
  readonly #coverage: Coverage;
  readonly #findings: Findings;
  /** The revisions in which each watch shows events. */
  readonly #shown: readonly ReadonlySet<number>[];

  /** Makes a check that adds to `findings`. */
  constructor(
    run: WatchedRun,
    { coverage, findings }: { readonly coverage: Coverage; readonly findings: Findings },
  ) {
    this.#run = run;
    this.#coverage = coverage;
    this.#findings = findings;
    this.#shown = run.watches.map(({ notices }) =>
      new Set(notices.flatMap(({ kind, revision }) => kind === "events" ? [revision] : []))
    );
  }

  /** Checks what all watches and answers say of a cell. */
  check(cell: Cell): void {
    for (const watch of this.#coverage.watchesOf(cell.key)) {
      const sighting = cell.sightings.find((each) => each.watch === watch) ?? null;
      this.#checkWatch(watch, { cell, sighting });
    }
    for (const claim of cell.claims) this.#checkClaim(claim, cell);
  }

  #checkWatch(
    watch: number,
    { cell, sighting }: { readonly cell: Cell; readonly sighting: Sighting | null },
  ): void {
    const { revision, complete } = cell;
    const only = this.#run.watches[watch]?.only ?? null;
    if (sighting === null) {
      const kind = this.#kindToShow(cell, watch);
      if (kind !== null && this.#coverage.covers(watch, { revision, kind })) this.#findMissing(watch, cell);
      return;
    }
    const expected = complete?.events.filter((event) => passes(only, event.kind)) ??
      cell.sightings.find((each) => this.#run.watches[each.watch]?.only === only)?.events ?? [];
    if (areSameEvents(sighting.events, expected)) return;
    this.#findings.add({
      rule: "agreement",
      revision,
      key: cell.key,
      sentence: [
        watchPhrase(watch),
        " shows for ",
        keyPhrase(cell.key),
        ` at revision ${revision}: `,
        ...eventsPhrases(sighting.events),
        "; ",
        ...(complete === null || complete.watch === watch
          ? ["another watch with the same filter"]
          : [watchPhrase(complete.watch)]),
        ": ",
        ...eventsPhrases(expected),
        ".",
      ],
    });
  }

  /** Returns the kind of an event of the cell that a watch had to show, if it covers the cell; null for none. */
  #kindToShow({ sightings, complete, claims }: Cell, watch: number): WatchEvent["kind"] | null {
    const only = this.#run.watches[watch]?.only ?? null;
    const events = complete?.events ?? sightings.flatMap((each) => each.events);
    const event = events.find(({ kind }) => passes(only, kind));
    if (event !== undefined || complete !== null) return event?.kind ?? null;
    const claimed = claims.map(({ entry }) => entry === null ? "delete" as const : "put" as const);
    return claimed.find((kind) => passes(only, kind)) ?? null;
  }

  #findMissing(watch: number, cell: Cell): void {
    const { revision, key, sightings: [sighting], claims: [claim] } = cell;
    const partly = this.#shown[watch]?.has(revision) === true ? ", of which it shows other changes" : "";
    const evidence: readonly Phrase[] = sighting !== undefined
      ? [watchPhrase(sighting.watch), " shows ", ...eventsPhrases(sighting.events)]
      : claim === undefined
      ? []
      : claimPhrases(claim);
    this.#findings.add({
      rule: "missing",
      revision,
      key,
      sentence: [
        watchPhrase(watch),
        " shows no change of ",
        keyPhrase(key),
        ` at revision ${revision}${partly}, and covers it: `,
        ...evidence,
        ".",
      ],
    });
  }

  #checkClaim(claim: Claim, cell: Cell): void {
    const { key, revision, complete, claims: [first] } = cell;
    const seen = entryAfterCell(cell);
    if (seen === undefined || agree(claim.entry, seen)) return;
    this.#findings.add({
      rule: "agreement",
      revision,
      key,
      sentence: [
        ...(complete === null ? [] : [watchPhrase(complete.watch), " shows "]),
        ...(complete === null && first !== undefined
          ? claimPhrases(first)
          : eventsPhrases(complete?.events ?? [])),
        " for ",
        keyPhrase(key),
        ` at revision ${revision}; `,
        ...claimPhrases(claim),
        ".",
      ],
    });
  }
}

function areSameEvents(some: readonly WatchEvent[], others: readonly WatchEvent[]): boolean {
  return some.length === others.length && some.every((event, position) => {
    const other = others[position];
    if (other === undefined || event.kind !== other.kind) return false;
    return event.kind === "delete" || other.kind === "delete" ||
      agree(event.entry, other.entry) && event.entry.modRevision === other.entry.modRevision;
  });
}

function claimPhrases({ source, entry }: Claim): readonly Phrase[] {
  const state = entryPhrases(entry);
  return source.kind === "operation"
    ? [operationPhrase(source.operation), " left it as ", ...state]
    : [watchPhrase(source.watch), " shows later that it was then ", ...state];
}

function eventsPhrases(events: readonly WatchEvent[]): readonly Phrase[] {
  if (events.length === 0) return ["nothing"];
  return events.flatMap((event, position): readonly Phrase[] => [
    ...(position === 0 ? [] : [", then "]),
    ...(event.kind === "delete" ? ["a delete"] : ["a put: ", ...entryPhrases(event.entry)]),
  ]);
}

function entryPhrases(entry: KnownEntry | null): readonly Phrase[] {
  if (entry === null) return ["deleted"];
  const { value, createRevision, version, leaseId } = entry;
  return [
    value === null ? "some value" : { kind: "value", value },
    createRevision === null ? "" : `, created at ${createRevision}`,
    version === null ? "" : `, version ${version}`,
    leaseId === null || leaseId === "unknown" ? "" : `, lease ${leaseId}`,
  ];
}
