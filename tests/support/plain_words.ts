/**
 * The words that are not the field's, each with a plain replacement, and the search for them in sources and documents.
 * `tests/tidy_test.ts` fails on every hit; `deno task words lib/raft` prints the hits of a folder as a work list.
 */
import { filesOfCheckout, readCheckout } from "./checkout.ts";

/** A word or phrase that does not belong in this project. */
interface PlainWord {
  /** Source of a regular expression over words in any case; a blank matches any white space, line breaks too. */
  readonly words: string;
  /** Replacements, for the message. */
  readonly say: string;
  /** The paths where it is refused; everywhere without it. */
  readonly paths?: RegExp;
}

/** An occurrence of a word in a file. */
export interface WordHit {
  /** Path from the root of the checkout. */
  readonly path: string;
  /** From 1; 0 for a hit in the path itself. */
  readonly line: number;
  readonly found: string;
  readonly say: string;
}

/** Identifiers are split before the search: `addNewcomer` and `ADD_NEWCOMER` are read as "add newcomer". */
const NOT_OURS: readonly PlainWord[] = [
  // Users read one word for it, in messages, help texts and documents.
  { words: "(?:sub)?folders?", say: "directory", paths: /^(?!tests\/|findings\/)/ },
  // Metaphors.
  { words: "houses?", say: "project, repository, code" },
  { words: "rooms?(?! for)", say: "directory, module; disk space, capacity (“room for” is allowed)" },
  { words: "doors?", say: "listener, entry point, allowed imports" },
  { words: "guests?", say: "transient peer, peer that is not a member" },
  { words: "strangers?", say: "unknown sender, peer that is not a member" },
  { words: "lonely", say: "single-voter" },
  { words: "newcomers?", say: "joining node, new reader" },
  { words: "adversar(?:y|ies|y's)", say: "nemesis, fault injector" },
  { words: "foreign", say: "untrusted, of another cluster" },
  { words: "heirs?", say: "successor, transfer target" },
  { words: "culprits?", say: "violating operation, cause" },
  { words: "worlds?(?! readable)", say: "model configuration, state space, cluster" },
  { words: "hurr(?:y|ies|ied)", say: "send at once, accelerate" },
  { words: "remakes?|remade|remaking", say: "rebuild" },
  { words: "mend(?:s|ed|ing)?", say: "repair, fix" },
  { words: "befalls?|befell", say: "happen to" },
  { words: "foretold|foresaw|foresees?", say: "predicted, expected" },
  { words: "honest", say: "correct" },
  { words: "surroundings", say: "dependencies, environment" },
  { words: "at stake", say: "at risk, could be lost" },
  { words: "step(?:s|ped|ping)? aside", say: "step down, stepDownAfterRemoval" },
  { words: "look(?:s|ed|ing)? after", say: "maintain, reconcile" },
  { words: "meters?", say: "metrics, recorder" },
  { words: "judg(?:e|es|ed|ing|ement|ements)", say: "check, decide, authorize, verdict" },
  {
    words: "the other way (?:round|around)|ways? (?:in|out|back)",
    say: "the reverse; path, entry point, exit",
  },
  { words: "(?:on|in) (?:its|their|the|his) way(?! of)", say: "in flight, in transit, along the path" },
  { words: "(?:the|its|their|'s) ways? (?:of|to|from|through)", say: "path of, steps of" },
  {
    words:
      "(?:without|with) a word|the(?: \\w+)? word (?:that|of)|'s word|a word (?:of|that|from|about)|words? to",
    say: "message, report, confirmation",
  },
  // Persons where nodes, clients and processes are meant.
  { words: "nobody(?:'s)?|no one(?:'s)?", say: "no node, no client, none" },
  { words: "somebody(?:'s)?|someone(?:'s)?", say: "a node, a client, another process" },
  { words: "anybody(?:'s)?|anyone(?:'s)?", say: "any node, any client" },
  { words: "everybody(?:'s)?|everyone(?:'s)?", say: "all nodes, all clients" },
  { words: "who(?:m)?ever", say: "the caller, the client, the node that" },
  { words: "askers?", say: "requester, client" },
  // Riddles.
  { words: "whatever", say: "any, every; or name the thing" },
  { words: "(?:what|that|which) is so", say: "an already applied change" },
  { words: "come(?:s)? to (?:know|be known)|came to know|come to be", say: "learn, receive" },
  { words: "(?:is|are|was|were|be|been) let go|let(?:s|ting)? go", say: "release, drop, remove" },
  { words: "(?:is|are|was|were|be|been) let in|let(?:s|ting)? in", say: "admit, accept" },
  { words: "turn(?:s|ed)? away", say: "refuse, reject" },
  { words: "told", say: "reported to, received; distinguished from" },
  { words: "hear(?:s|d)? (?:of|how|that|so|it|nothing)", say: "receive, learn (“hear from” is allowed)" },
  { words: "speak(?:s)? (?:to|of|for|with)|spoken (?:to|of)", say: "write to, mention, act for" },
  { words: "(?:is|are|was|were) gone|(?:process|leader) gone", say: "closed, removed, unreachable, lost" },
  { words: "hand(?:s|ed|ing)? (?:in|out|over)|handovers?|handed index", say: "pass, return, transfer" },
  { words: "once more|anew", say: "again, from the beginning, new" },
  { words: "so much time|for so long", say: "name the duration" },
  { words: "for ever", say: "forever, without bound" },
  { words: "all the same", say: "nevertheless" },
  { words: "once for all", say: "once" },
  { words: "file beside", say: "temporary file" },
  { words: "(?:is|are|comes?|checked|read back) whole|wholly", say: "complete, undamaged, entirely" },
  { words: "stood|stands(?! for)", say: "is, was" },
  { words: "last not above", say: "findConflictByTerm" },
  // The beginning of a docstring or of a test's title.
  { words: "/\\*\\*(?: \\*)? (?:what|who|whom|whose)\\b", say: "begin a type with a noun phrase" },
  { words: "/\\*\\*(?: \\*)? gives\\b", say: "begin with Returns" },
  {
    words: "Deno\\.test\\(\\s*[\"'`](?:what|who|whose|where)",
    say: "begin a title with its subject: Driver: …",
  },
];

/** A place where a word is right, and why. */
interface Exception {
  readonly path: RegExp;
  /** Text of the line. */
  readonly line: RegExp;
  readonly reason: string;
}

const EXCEPTIONS: readonly Exception[] = [
  {
    path: /\.ts$|^docs\//,
    line: /\bforeign(Node|Cluster)/i,
    reason: "names of errors that programs may compare with",
  },
  {
    path: /_test\.ts$|^docs\/|^cluster\.sh$/,
    line: /hello,? world/i,
    reason: "a value that is often used in examples",
  },
  {
    path: /^lib\/(?:storage|cli)\/errors\.ts$/,
    line: /"foreign(?:Node|Cluster)"/,
    reason: "stable error codes; a script may compare them",
  },
  {
    path: /^lib\/(?:server|cli)\//,
    line: /"(?:folderInUse|folderLost|dataFolder)"/,
    reason: "stable error codes and a value of inspect's JSON; a script may compare them",
  },
];

/** Files that contain such words for a reason: this list, its test, results of measurements, and inputs of fuzz tests. */
const UNREAD =
  /^(tests\/support\/plain_words\.ts|tests\/tidy_test\.ts|tests\/fuzz\/corpus\/.*|docs\/benchmarks\/.*\.json|CODE_OF_CONDUCT\.md)$/;

const ENDINGS = [".ts", ".md", ".sh", ".yml", ".txt", "deno.json"];

const PATTERNS = NOT_OURS.map(({ words, say, paths = /^/ }) => {
  const bounded = /^\w|^\(/.test(words) ? `\\b(?:${words})\\b` : words;
  return { pattern: new RegExp(bounded.replaceAll(" ", "\\s+"), "gi"), say, paths };
});

/** Returns the words of `source`, the text of the file at `path`, that are not the field's, in order of lines. */
export function wordHits(path: string, source: string): readonly WordHit[] {
  const lines = source.split("\n");
  const prose = separated(source);
  const hits = PATTERNS.filter(({ paths }) => paths.test(path)).flatMap(({ pattern, say }) => [
    ...[...prose.matchAll(pattern)].map((match) => ({
      path,
      line: prose.slice(0, match.index).split("\n").length,
      found: match[0].replace(/\s+/g, " "),
      say,
    })),
    ...[...separated(path).matchAll(pattern)].map((match) => ({ path, line: 0, found: match[0], say })),
  ]);
  return hits.filter(({ line }) => !isException(path, lines[line - 1] ?? "")).sort((a, b) => a.line - b.line);
}

/** Splits identifiers into words and blanks what is no text: paths of imports and the marks that begin comment lines. */
function separated(source: string): string {
  return source
    .replace(/(\bfrom |\bimport )"\.[^"\n]*"/g, "$1")
    .replace(/\n[ \t]*(?:\*(?!\/)|\/\/|#+)(?=[ \t])/g, "\n")
    .replace(/([a-z\d])(?=[A-Z])/g, "$1 ")
    .replace(/_/g, " ");
}

function isException(path: string, line: string): boolean {
  return EXCEPTIONS.some((exception) => exception.path.test(path) && exception.line.test(line));
}

/** Returns the hits in all files of `folders` and below, or in the named files. */
export function hitsBelow(folders: readonly string[]): readonly WordHit[] {
  return filesOfCheckout(ENDINGS)
    .filter((path) => !UNREAD.test(path))
    .filter((path) =>
      folders.some((folder) => path === folder || path.startsWith(folder === "" ? "" : `${folder}/`))
    )
    .flatMap((path) => wordHits(path, readCheckout(path)));
}

/** Returns a hit as a line of a work list. */
export function textOfHit({ path, line, found, say }: WordHit): string {
  return line === 0 ? `${path} is named “${found}”: ${say}` : `${path}:${line} “${found}”: ${say}`;
}

if (import.meta.main) {
  const hits = hitsBelow(Deno.args.length === 0 ? [""] : Deno.args.map((path) => path.replace(/\/+$/, "")));
  // deno-lint-ignore no-console -- a tool writes to its terminal
  console.log([...hits.map(textOfHit), `${hits.length} hits`].join("\n"));
}
