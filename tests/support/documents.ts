/** Checks that commands, files, headings and constants in the documents exist, and that code in a text is on one line. */
import { dirname, join, relative } from "@std/path";
import { CHECKOUT, filesOfCheckout, readCheckout } from "./checkout.ts";

/** Returns a sentence for each problem of `source`, the text of the Markdown document at `path`. */
export function documentProblems(path: string, source: string): readonly string[] {
  const problems = [
    ...commandProblems(source),
    ...linkProblems(path, source),
    ...limitProblems(source),
    ...codeProblems(source),
  ];
  return problems.map((problem) => `${path} ${problem}`);
}

/** Lines outside of blocks of code where code begins or ends without the other: the formatter keeps such a break. */
function codeProblems(source: string): readonly string[] {
  return withoutBlocks(source).split("\n")
    .filter((line) => line.split("`").length % 2 === 0)
    .map((line) => `has code that goes on in another line, so that it cannot be copied: ${line}`);
}

function withoutBlocks(source: string): string {
  return source.replaceAll(/^( *)```[^]*?^\1```$/gm, "");
}

/** Returns the names by which links reach the headings of a document. */
function anchorsOf(source: string): readonly string[] {
  return [...withoutBlocks(source).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-")
  );
}

function commandProblems(source: string): readonly string[] {
  const tasks = Object.keys(JSON.parse(readCheckout("deno.json")).tasks);
  const commands = clusterCommands();
  const pinned = readCheckout(".deno-version").trim();
  const problems: string[] = [];
  for (const [, task = ""] of source.matchAll(/\bdeno(?:@\S+)? task (?:-\S+ )*([a-z]\w*(?::\w+)*)/g)) {
    if (!tasks.includes(task)) {
      problems.push(`tells to run "deno task ${task}", and deno.json has no task of that name`);
    }
  }
  for (const [, command = ""] of source.matchAll(/\.\/cluster\.sh ([a-z]\w*)/g)) {
    if (!commands.includes(command)) {
      problems.push(`tells to run "./cluster.sh ${command}", and cluster.sh has no command of that name`);
    }
  }
  for (const [, version = ""] of source.matchAll(/\bdeno@(\d[\d.]*\d)/g)) {
    if (version !== pinned) problems.push(`names deno@${version}; .deno-version says ${pinned} is pinned`);
  }
  return problems;
}

/** Names of constants, which are those of lib: a limit that is renamed or dropped must not live on in a document. */
function limitProblems(source: string): readonly string[] {
  const names = [...source.matchAll(/`([A-Z][A-Z\d]*(?:_[A-Z\d]+)+)`/g)].map(([, name = ""]) => name);
  return names
    .filter((name) => !/^(KVRAFT|NO|DENO|OTEL)_/.test(name) && !limits().has(name))
    .map((name) => `names ${name}, and lib has no constant of that name`);
}

let knownLimits: ReadonlySet<string> | null = null;

/** The constants that lib declares. */
function limits(): ReadonlySet<string> {
  knownLimits ??= new Set(
    filesOfCheckout([".ts"]).filter((file) => file.startsWith("lib/")).flatMap((file) =>
      [...readCheckout(file).matchAll(/\bconst ([A-Z][A-Z\d_]*)\b/g)].map(([, name = ""]) => name)
    ),
  );
  return knownLimits;
}

/** The commands that cluster.sh knows, read from its last `case`. */
function clusterCommands(): readonly string[] {
  const script = readCheckout("cluster.sh");
  const dispatch = script.slice(script.lastIndexOf("case $command in"));
  return [...dispatch.matchAll(/^ {2}([a-z]+)(?: \| \S+)*\)/gm)].map(([, name = ""]) => name);
}

/** Links to files, and paths of this checkout in backticks. */
function linkProblems(path: string, source: string): readonly string[] {
  const problems: string[] = [];
  const check = (target: string): void => {
    const file = join(CHECKOUT, target);
    if (!exists(file)) {
      problems.push(`points to ${relative(CHECKOUT, file)}, and there is no file of that name`);
    }
  };
  for (const [, target = "", anchor] of source.matchAll(/\]\(([^)#\s]*)(?:#([^)]*))?\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const file = target === "" ? path : join(dirname(path), target);
    if (target !== "") check(file);
    if (anchor === undefined || !file.endsWith(".md") || !exists(join(CHECKOUT, file))) continue;
    const text = target === "" ? source : readCheckout(file);
    if (!anchorsOf(text).includes(anchor)) {
      problems.push(`points to a heading #${anchor} that ${file} has not`);
    }
  }
  for (const [, target = ""] of source.matchAll(/`((?:lib|tests|tools|docs)\/[\w./-]*\w)`/g)) check(target);
  return problems;
}

function exists(file: string): boolean {
  try {
    Deno.statSync(file);
    return true;
  } catch {
    return false;
  }
}
