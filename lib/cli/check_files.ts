/** What `check` leaves of a history that is not linearizable: all of it for machines, and a page for people. */
import { type History, type Violation, violationPage } from "../lincheck/mod.ts";
import type { System } from "./system.ts";

/** A file that was to be written. */
export interface CheckFile {
  readonly path: string;
  /** Why it could not be written; null if it was. */
  readonly problem: string | null;
}

/** Both files. */
export interface CheckFiles {
  /** The verdict and the history, as JSON. */
  readonly report: CheckFile;
  /** The page that shows where it breaks. */
  readonly page: CheckFile;
}

/** Writes both files. A disk that takes neither costs the caller nothing but the files. */
export function writeCheckFiles(
  verdict: Violation,
  { history, startedAt, about, report, system }: {
    readonly history: History;
    /** Times on the page count from here. */
    readonly startedAt: number;
    /** The page's line on where the history comes from. */
    readonly about: string;
    /** Path of the report; the page lies beside it. */
    readonly report: string;
    readonly system: Pick<System, "writeFile">;
  },
): CheckFiles {
  const write = (path: string, text: () => string): CheckFile => {
    try {
      system.writeFile(path, text());
      return { path, problem: null };
    } catch (error) {
      return { path, problem: error instanceof Error ? error.message : String(error) };
    }
  };
  return {
    report: write(report, () => `${JSON.stringify({ verdict, history })}\n`),
    page: write(pagePathOf(report), () => violationPage(history, verdict, { startedAt, about })),
  };
}

/** `data/check.html` beside `data/check.json`; never the report itself, whatever that is called. */
function pagePathOf(report: string): string {
  return `${report.replace(/\.json$/, "")}.html`;
}
