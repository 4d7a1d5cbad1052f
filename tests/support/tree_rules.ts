/**
 * Rules over the whole tree of sources: sizes of folders, cycles of imports, and duplicated code.
 * `tests/tidy_test.ts` runs them over the checkout and first shows that each of them can fail.
 */
import type { Finding } from "./source_rules.ts";

/** Most source files in a folder, its subfolders not counted. */
const MAX_FOLDER_FILES = 20;
/** Shorter bodies may be repeated: a name for them costs as much as the body. */
const MIN_BODY_CHARACTERS = 40;
/** Shorter lists of literals may be equal by chance. */
const MIN_UNION_MEMBERS = 3;

/** The parts of a file that rules over the tree compare. */
interface FileFacts {
  /** Files that it imports values of, relative to the root. */
  readonly imports: string[];
  readonly functions: { readonly name: string; readonly body: string; readonly offset: number }[];
  /** Unions of string literals, and constant lists of them. */
  readonly unions: { readonly members: string; readonly offset: number }[];
}

/** Returns the violations in these sources. `largerFolders` may have the given number of files. */
export function treeFindings(
  sources: ReadonlyMap<string, string>,
  largerFolders: Readonly<Record<string, number>> = {},
): readonly Finding[] {
  const facts = new Map([...sources].map(([path, source]) => [path, factsOf(path, source)]));
  const lineAt = (path: string, offset: number): number =>
    (sources.get(path) ?? "").slice(0, offset).split("\n").length;
  return [
    ...largeFolders([...sources.keys()], largerFolders),
    ...importCycles(facts),
    ...repetitions(facts, {
      of: (file) =>
        file.functions.map(({ name, body, offset }) => ({ key: `${name}\n${body}`, name, offset })),
      message: (name, first) => `defines ${name} as ${first} does; one definition serves both`,
      lineAt,
    }),
    ...repetitions(facts, {
      of: (file) => file.unions.map(({ members, offset }) => ({ key: members, name: members, offset })),
      message: (members, first) => `lists ${members} as ${first} does; derive one from the other`,
      lineAt,
    }),
  ];
}

function largeFolders(
  paths: readonly string[],
  allowed: Readonly<Record<string, number>>,
): readonly Finding[] {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const folder = path.slice(0, path.lastIndexOf("/"));
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const found: Finding[] = [];
  for (const [folder, count] of counts) {
    const most = allowed[folder] ?? MAX_FOLDER_FILES;
    if (count <= most) continue;
    const message =
      `has ${count} source files; a folder has at most ${most}. Group them by feature, or merge small ones`;
    found.push({ path: folder, line: 1, message });
  }
  for (const [folder, most] of Object.entries(allowed)) {
    if ((counts.get(folder) ?? 0) < most) {
      found.push({
        path: folder,
        line: 1,
        message: `has fewer than ${most} files: lower its exception, or remove it`,
      });
    }
  }
  return found;
}

/** Returns each file that imports itself through others; type imports do not count, as the compiler removes them. */
function importCycles(facts: ReadonlyMap<string, FileFacts>): readonly Finding[] {
  const found: Finding[] = [];
  const finished = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const begin = trail.indexOf(path);
    if (begin >= 0) {
      const cycle = [...trail.slice(begin), path].join(" → ");
      found.push({ path, line: 1, message: `is in a cycle of imports: ${cycle}` });
      return;
    }
    if (finished.has(path)) return;
    for (const next of facts.get(path)?.imports ?? []) visit(next, [...trail, path]);
    finished.add(path);
  };
  for (const path of facts.keys()) visit(path, []);
  return found;
}

function repetitions(
  facts: ReadonlyMap<string, FileFacts>,
  { of, message, lineAt }: {
    readonly of: (file: FileFacts) => readonly { key: string; name: string; offset: number }[];
    readonly message: (name: string, first: string) => string;
    readonly lineAt: (path: string, offset: number) => number;
  },
): readonly Finding[] {
  const seen = new Map<string, string>();
  const found: Finding[] = [];
  for (const [path, file] of facts) {
    for (const { key, name, offset } of of(file)) {
      const first = seen.get(key);
      if (first === undefined) seen.set(key, path);
      else found.push({ path, line: lineAt(path, offset), message: message(name, first) });
    }
  }
  return found;
}

function factsOf(path: string, source: string): FileFacts {
  const facts: FileFacts = { imports: [], functions: [], unions: [] };
  const textOf = ({ range }: { readonly range: readonly [number, number] }): string =>
    source.slice(range[0], range[1]);
  const addImport = (specifier: unknown): void => {
    const text = String(specifier);
    if (text.startsWith(".")) facts.imports.push(new URL(text, `file:///${path}`).pathname.slice(1));
  };
  const addUnion = (nodes: readonly { readonly range: [number, number] }[]): void => {
    const members = nodes.map(textOf);
    const [first] = nodes;
    if (members.length < MIN_UNION_MEMBERS || first === undefined) return;
    if (!members.every((member) => /^"\w+"$/.test(member))) return;
    facts.unions.push({ members: [...new Set(members)].sort().join(", "), offset: first.range[0] });
  };
  Deno.lint.runPlugin(
    {
      name: "tree",
      rules: {
        facts: {
          create: () => ({
            ImportDeclaration(node): void {
              const isType = node.importKind === "type" || node.specifiers.length > 0 &&
                  node.specifiers.every((one) => one.type === "ImportSpecifier" && one.importKind === "type");
              if (!isType) addImport(node.source.value);
            },
            "ExportNamedDeclaration[exportKind!='type']"(node: Deno.lint.ExportNamedDeclaration): void {
              if (node.source !== null) addImport(node.source.value);
            },
            "ExportAllDeclaration[exportKind!='type']"(node: Deno.lint.ExportAllDeclaration): void {
              addImport(node.source.value);
            },
            FunctionDeclaration(node): void {
              const isTop = node.parent.type === "Program" || node.parent.type === "ExportNamedDeclaration";
              const body = node.body === null ? "" : textOf(node.body).replaceAll(/\s+/g, " ");
              if (!isTop || node.id === null || body.length < MIN_BODY_CHARACTERS) return;
              facts.functions.push({ name: node.id.name, body, offset: node.range[0] });
            },
            "TSTypeAliasDeclaration > TSUnionType"(node: Deno.lint.TSUnionType): void {
              addUnion(node.types);
            },
            "TSAsExpression > ArrayExpression"(node: Deno.lint.ArrayExpression): void {
              addUnion(node.elements.flatMap((element) => element === null ? [] : [element]));
            },
          }),
        },
      },
    },
    path,
    source,
  );
  return facts;
}
