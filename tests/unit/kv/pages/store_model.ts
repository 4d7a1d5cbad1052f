/** A store as a list of events: what {@link PagedStore} must show, computed from the beginning each time. */
import { assert, assertEquals } from "@std/assert";
import type { Attachment, KeyValue } from "../../../../lib/kv/command.ts";
import { StoreLoader } from "../../../../lib/kv/pages/store_loader.ts";
import { resultOf } from "../../../../lib/kv/state_records.ts";
import type { Attached, PagedStore } from "../../../../lib/kv/pages/paged_store.ts";
import type { StoreReader, VersionCursor } from "../../../../lib/kv/pages/store_reader.ts";
import type { PageLimits } from "../../../../lib/kv/pages/tree_pages.ts";

/** Pages so small that some dozens of keys make a tree of several levels. */
export const SMALL_PAGES: PageLimits = { leafEntries: 4, innerChildren: 4 };

/** A put (with a value) or a delete (null). */
export interface ModelEvent extends Attachment {
  readonly key: string;
  readonly value: string | null;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** A key as text, of characters up to 255: such texts are in the order of their bytes. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** The text of a key or value. */
export function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** The complete past of a store, and the part of it that may be read. */
export class StoreModel {
  readonly events: ModelEvent[];
  revision: number;
  compactedRevision: number;

  constructor(from: Partial<StoreModel> = {}) {
    this.events = [...from.events ?? []];
    this.revision = from.revision ?? 0;
    this.compactedRevision = from.compactedRevision ?? 0;
  }

  put(key: string, value: string, revision: number, attachment: Attachment = {}): void {
    const before = this.at(revision).get(key);
    this.revision = revision;
    this.events.push({
      key,
      value,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      ...attachment,
    });
  }

  delete(key: string, revision: number): boolean {
    if (!this.at(revision).has(key)) return false;
    this.revision = revision;
    this.events.push({ key, value: null, createRevision: 0, modRevision: revision, version: 0 });
    return true;
  }

  /** Present keys as of a revision, in ascending order. */
  at(revision: number): Map<string, ModelEvent> {
    const keys = new Map<string, ModelEvent>();
    for (const event of this.events) {
      if (event.modRevision > revision) continue;
      if (event.value === null) keys.delete(event.key);
      else keys.set(event.key, event);
    }
    return new Map([...keys].sort(([a], [b]) => a < b ? -1 : 1));
  }

  /** Events in the history. */
  get history(): ModelEvent[] {
    return this.events.filter(({ modRevision }) => modRevision > this.compactedRevision);
  }

  /** Returns the bytes of the history. */
  get historyBytes(): number {
    const newest = new Map<string, ModelEvent>();
    let bytes = 0;
    const sizeOf = ({ key, value }: ModelEvent): number => 32 + key.length + (value?.length ?? 0);
    for (const event of this.events) {
      const before = newest.get(event.key);
      newest.set(event.key, event);
      if (event.modRevision <= this.compactedRevision) continue;
      bytes += 8 + (event.value === null ? sizeOf(event) : 0);
      if (before !== undefined && before.value !== null) bytes += sizeOf(before);
    }
    return bytes;
  }
}

/** Returns all that a cursor iterates over. */
export function eventsOf(reader: StoreReader, cursor: VersionCursor): ModelEvent[] {
  const events: ModelEvent[] = [];
  for (let address = cursor.next(); address !== 0; address = cursor.next()) {
    events.push(eventAt(reader, address));
  }
  return events;
}

function eventAt(reader: StoreReader, address: number): ModelEvent {
  const { key, value, ...numbers }: KeyValue = reader.keyValue(address);
  return { key: textOf(key), value: reader.records.isPut(address) ? textOf(value) : null, ...numbers };
}

/** Compares all that can be read with the model: the present, each past revision, events and versions. */
export function assertShows(reader: StoreReader, model: StoreModel): void {
  const all = { lower: null, upper: null, reverse: false };
  assertEquals(reader.revision, model.revision);
  assertEquals(reader.compactedRevision, model.compactedRevision);
  assertEquals(eventsOf(reader, reader.eventsFrom(model.compactedRevision + 1)), model.history);
  assertEquals(reader.eventCount, model.history.length);
  assertEquals(reader.historyBytes, model.historyBytes);
  const revisions = new Set([model.compactedRevision, model.revision]);
  for (let step = 1; step < 6; step++) {
    revisions.add(
      model.compactedRevision + Math.floor((model.revision - model.compactedRevision) * step / 6),
    );
  }
  for (const revision of revisions) {
    const keys = [...model.at(revision).values()];
    assertEquals(eventsOf(reader, reader.scanAt(all, revision)), keys, `as of ${revision}`);
    assertEquals(eventsOf(reader, reader.scanAt({ ...all, reverse: true }, revision)), keys.toReversed());
    for (const { key } of keys.slice(0, 5)) {
      const address = reader.getAt(bytesOf(key), revision);
      assert(address !== 0, `${key} is there as of ${revision}`);
      assertEquals(eventAt(reader, address), model.at(revision).get(key));
    }
  }
  const present = [...model.at(model.revision).values()];
  assertEquals(reader.size, present.length);
  for (const key of new Set(model.events.slice(-20).map((event) => event.key))) {
    const its = model.events.filter((event) => event.key === key);
    const base = its.findLastIndex(({ modRevision }) => modRevision <= model.compactedRevision);
    const kept = base >= 0 && its[base]?.value !== null ? its.slice(base) : its.slice(base + 1);
    const versions = [...reader.versions(bytesOf(key))].map((address) => eventAt(reader, address));
    assertEquals(versions, kept.toReversed(), `the versions of ${key}`);
  }
}

/** Returns a store that is loaded from what a reader shows, as from a snapshot. */
export function reloaded(reader: StoreReader, limits: PageLimits): PagedStore {
  const { revision, compactedRevision, records } = reader;
  const loader = new StoreLoader({ revision, compactedRevision, limits });
  const numbers = (
    address: number,
  ): { modRevision: number; order: number; createRevision: number; version: number } & Attached => ({
    createRevision: records.createRevision(address),
    modRevision: records.modRevision(address),
    version: records.version(address),
    order: reader.order(address),
    leaseId: records.leaseId(address),
    expiresAtMs: records.expiresAtMs(address),
  });
  const cursor = reader.scan({ lower: null, upper: null, reverse: false });
  for (let address = cursor.next(); address !== 0; address = cursor.next()) {
    loader.addPresent(records.key(address), records.value(address), numbers(address));
  }
  for (const address of reader.tombstones()) loader.addTombstone(records.key(address), numbers(address));
  for (const superseded of reader.superseded()) {
    if (superseded === null) continue;
    const { address, successor } = superseded;
    loader.addSuperseded(records.key(address), records.isPut(address) ? records.value(address) : null, {
      ...numbers(address),
      successor: numbers(successor),
    });
  }
  return resultOf(loader.finishing());
}
