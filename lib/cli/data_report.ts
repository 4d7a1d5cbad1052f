/** What snapshots, exports and imports come down to, as a line of text. */
import type { SnapshotInfo } from "../client/types.ts";
import type { Answer } from "./answer.ts";
import type { ExportReport } from "./export_command.ts";
import type { ImportReport } from "./import_command.ts";
import { countOf, duration, perSecond, sizeText, withThousands } from "./units.ts";

/** After `snapshot now`. */
export function snapshotText({ nodeId, index, term, revision, bytes }: SnapshotInfo): string {
  return `n${nodeId} took a snapshot: revision ${revision}, index ${index}, term ${term}, ${
    sizeText(bytes)
  }\n`;
}

/** After `snapshot save`. */
export function savedText({ info, elapsedMs }: Extract<Answer, { kind: "snapshotSaved" }>): string {
  const { nodeId, revision, bytes } = info;
  return `saved revision ${revision} of n${nodeId}: ${sizeText(bytes)} in ${duration(elapsedMs)}\n`;
}

/** After `export`: also whether it is of one moment. */
export function exportedText({ keys, bytes, firstRevision, lastRevision, elapsedMs }: ExportReport): string {
  const what = `exported ${countOf(keys, "key")}, ${sizeText(bytes)}, in ${duration(elapsedMs)}`;
  if (firstRevision === lastRevision) return `${what}, all at revision ${lastRevision}\n`;
  return `${what}\nThe store changed meanwhile, from revision ${firstRevision} to ${lastRevision}: these writes may be in ` +
    "it or not. For one moment of the store use snapshot save.\n";
}

/** After `import`. */
export function importedText({ keys, bytes, elapsedMs }: ImportReport): string {
  const rate = withThousands(perSecond(keys, elapsedMs));
  return `imported ${countOf(keys, "key")}, ${sizeText(bytes)}, in ${duration(elapsedMs)} (${rate}/s)\n`;
}
