/** The formats of `export`: lines of JSON, and the JSON of `etcdctl get -w json`. */
import type { KeyValue } from "../../kv/command.ts";
import { lineOfPair } from "../json.ts";

/** The formats. */
export const EXPORT_FORMATS = ["ndjson", "etcd"] as const;
/** One of {@link EXPORT_FORMATS}. */
export type ExportFormatName = typeof EXPORT_FORMATS[number];

/** How keys are written, page by page. */
export interface ExportFormat {
  /** Returns the text of a page. `revision`: that of the page; `before`: the keys of earlier pages. */
  page(
    entries: readonly KeyValue[],
    position: { readonly revision: number; readonly before: number },
  ): string;
  /** Returns what follows the last page. */
  end(keys: number): string;
  /** Whether the time at which a key expires is written. */
  readonly hasExpiry: boolean;
}

/** The formats by name. */
export const EXPORT_FORMAT: Readonly<Record<ExportFormatName, ExportFormat>> = {
  ndjson: { page: (entries) => entries.map(lineOfPair).join(""), end: () => "", hasExpiry: true },
  etcd: {
    page: (entries, { revision, before }) => {
      const head = before === 0 ? `{"header":{"revision":${revision}},"kvs":[` : "";
      const separator = before > 0 && entries.length > 0 ? "," : "";
      return head + separator + entries.map(etcdEntry).join(",");
    },
    end: (keys) => `],"count":${keys}}\n`,
    hasExpiry: false,
  },
};

/** Returns an entry as etcd's JSON has it: without an empty value, and without a lease where there is none. */
function etcdEntry({ key, value, createRevision, modRevision, version, leaseId }: KeyValue): string {
  return JSON.stringify({
    key: key.toBase64(),
    create_revision: createRevision,
    mod_revision: modRevision,
    version,
    ...(value.length > 0 && { value: value.toBase64() }),
    ...(leaseId !== undefined && { lease: leaseId }),
  });
}
